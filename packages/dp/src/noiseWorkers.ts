import { normalsFrom } from "./normals.ts";

/** Fewer normals are drawn on the spot: a message to a worker costs as much. */
const WORTH_A_WORKER = 1 << 17;
/** Workers at most; four draw the noise of 7 million coordinates in less than 0.1 s. */
const MOST_WORKERS = 4;

/** What a worker does with a request for so many normals: words of the platform's cryptographic generator, and normals from them. */
const PROGRAM = `
const normalsFrom = ${normalsFrom};
const words = new Uint32Array(16384);
const draw = (length) => {
  const out = new Float64Array(length);
  for (let at = 0; at < length; at += 8192) {
    globalThis.crypto.getRandomValues(words);
    normalsFrom(words, out.subarray(at, Math.min(length, at + 8192)));
  }
  words.fill(0);
  return out;
};`;

/** One worker, of Node or of the web. */
interface Port {
	ask(length: number): Promise<Float64Array>;
	close(): void;
}

/** Pairs answers with requests, in order. */
function paired(post: (length: number) => void, close: () => void) {
	const waiting: { readonly resolve: (v: Float64Array) => void; readonly reject: (e: unknown) => void }[] = [];
	return {
		port: {
			ask: (length: number) =>
				new Promise<Float64Array>((resolve, reject) => {
					waiting.push({ resolve, reject });
					post(length);
				}),
			close,
		},
		answer: (values: Float64Array): void => waiting.shift()?.resolve(values),
		fail: (error: unknown): void => {
			for (const w of waiting.splice(0)) w.reject(error);
		},
	};
}

const cores = (): number => globalThis.navigator?.hardwareConcurrency ?? process.getBuiltinModule("node:os").availableParallelism();

function openPort(): Port {
	if (typeof globalThis.Worker === "function") {
		const code = `${PROGRAM} onmessage = ({ data }) => { const out = draw(data); postMessage(out, [out.buffer]); };`;
		const url = URL.createObjectURL(new Blob([code], { type: "text/javascript" }));
		const worker = new Worker(url);
		const { port, answer, fail } = paired(
			(length) => worker.postMessage(length),
			() => {
				worker.terminate();
				URL.revokeObjectURL(url);
			},
		);
		worker.onmessage = ({ data }) => answer(data);
		worker.onerror = (event) => fail(event);
		return port;
	}
	const threads = process.getBuiltinModule("node:worker_threads");
	const code = `const { parentPort } = require("node:worker_threads"); ${PROGRAM}
parentPort.on("message", (length) => { const out = draw(length); parentPort.postMessage(out, [out.buffer]); });`;
	const worker = new threads.Worker(code, { eval: true, execArgv: [], name: "noise" });
	const { port, answer, fail } = paired(
		(length) => {
			worker.ref();
			worker.postMessage(length);
		},
		() => void worker.terminate(),
	);
	worker.on("message", (values) => {
		worker.unref();
		answer(values);
	});
	worker.on("error", fail);
	worker.unref();
	return port;
}

/**
 * Draws secure normals beside the main thread: of the platform's cryptographic generator, in workers that are started with the first request
 * worth it. Where the platform has none, or forbids them, it gives undefined, and noise is drawn on the spot.
 */
export class NoiseWorkers {
	readonly #count: number;
	#ports: readonly Port[] | undefined;
	#isOff = false;

	constructor(count = Math.min(MOST_WORKERS, Math.max(1, cores() - 1))) {
		this.#count = count;
	}

	/**
	 * So many independent standard normals, in runs, one of each worker, that are not put together: that would take the main thread as long as it
	 * takes a worker to draw them. Undefined where the main thread draws them as well, and where workers are forbidden, fail or draw too few: then no
	 * more are asked.
	 */
	async normals(length: number): Promise<Float64Array[] | undefined> {
		if (this.#isOff || length < WORTH_A_WORKER) return undefined;
		try {
			this.#ports ??= Array.from({ length: this.#count }, openPort);
			const share = Math.ceil(length / this.#count / 2) * 2;
			const lengths = this.#ports.map((_, i) => Math.max(0, Math.min(share, length - i * share)));
			const runs = await Promise.all(this.#ports.map((port, i) => port.ask(lengths[i])));
			if (runs.every((run, i) => run.length === lengths[i])) return runs;
		} catch {
			// As where too few are drawn.
		}
		this.close();
		return undefined;
	}

	/** Ends the workers; what is asked afterwards is drawn on the spot. */
	close(): void {
		for (const port of this.#ports ?? []) port.close();
		this.#ports = undefined;
		this.#isOff = true;
	}
}
