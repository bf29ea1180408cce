import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { joined } from "../../packages/dp/src/noiseDraw.ts";
import { NoiseWorkers } from "../../packages/dp/src/noiseWorkers.ts";
import { normalsFrom } from "../../packages/dp/src/normals.ts";

/* What goes to workers and comes back, with workers that stand in for those of Node and of the web; real ones are in noiseWorkers.test.ts. */

const WORTH = 1 << 17;
const CHUNK = 8192;

/** A worker of either kind: runs the program that it was given, and notes what is done to it. */
class Standin {
	static all: Standin[] = [];
	static answers = true;
	static fails: unknown;

	readonly asked: number[] = [];
	readonly done: string[] = [];
	readonly code: string;
	answer: (data: Float64Array) => void = () => {};
	fail: (error: unknown) => void = () => {};

	constructor(code: string) {
		this.code = code;
		Standin.all.push(this);
	}

	postMessage(length: number): void {
		this.asked.push(length);
		this.done.push("asked");
		if (Standin.fails !== undefined) void Promise.reject(Standin.fails).catch(this.#told);
		else if (Standin.answers) void Promise.resolve(length).then(this.run.bind(this)).catch(this.#told);
	}

	/** What a worker throws is told, and what hears of it may fail as well: then nothing comes. */
	readonly #told = (error: unknown): void => {
		try {
			this.fail(error);
		} catch {}
	};

	run(length: number): void {
		const send = (out: Float64Array, transferred: unknown[]) => {
			expect(transferred).toEqual([out.buffer]);
			this.answer(out);
		};
		// A bundler that keeps names calls __name.
		const own = "const __name = (f) => f;";
		const parentPort = {
			postMessage: send,
			on: (event: string, run: (length: number) => void) => {
				expect(event).toBe("message");
				run(length);
			},
		};
		const load = (name: string) => {
			expect(name).toBe("node:worker_threads");
			return { parentPort };
		};
		const onmessage = new Function("onmessage", "postMessage", "require", `${own}${this.code}; return onmessage;`)(undefined, send, load);
		onmessage?.({ data: length });
	}

	terminate(): void {
		this.done.push("terminated");
	}
}

class Thread extends Standin {
	static options: unknown[] = [];
	constructor(code: string, options: unknown) {
		super(code);
		Thread.options.push(options);
	}
	on(event: string, run: (value: unknown) => void): void {
		if (event === "message") this.answer = run;
		if (event === "error") this.fail = run;
	}
	ref(): void {
		this.done.push("ref");
	}
	unref(): void {
		this.done.push("unref");
	}
}

const pages: Blob[] = [];
const revoked: string[] = [];

function onTheWeb(): void {
	const codes: Promise<string>[] = [];
	vi.spyOn(URL, "createObjectURL").mockImplementation((blob) => {
		pages.push(blob as Blob);
		return `blob:${pages.length - 1}`;
	});
	vi.spyOn(URL, "revokeObjectURL").mockImplementation((url) => void revoked.push(url));
	class Page extends Standin {
		constructor(url: string) {
			super("");
			codes.push(pages[Number(url.slice(5))].text());
		}
		override async postMessage(length: number): Promise<void> {
			Object.assign(this, { code: await codes[Standin.all.indexOf(this)] });
			super.postMessage(length);
		}
		set onmessage(run: (event: { data: Float64Array }) => void) {
			this.answer = (data) => run({ data });
		}
		set onerror(run: (event: unknown) => void) {
			this.fail = run;
		}
	}
	vi.stubGlobal("Worker", Page);
}

function onNode(cores = 3): void {
	vi.stubGlobal("Worker", undefined);
	vi.spyOn(process, "getBuiltinModule").mockImplementation(((name: string) =>
		name === "node:os"
			? { availableParallelism: () => cores }
			: name === "node:worker_threads"
				? { Worker: Thread }
				: undefined) as typeof process.getBuiltinModule);
}

beforeEach(() => {
	Object.assign(Standin, { all: [], answers: true, fails: undefined });
	Thread.options = [];
	pages.length = revoked.length = 0;
});
afterEach(() => {
	vi.restoreAllMocks();
	vi.unstubAllGlobals();
});

describe.each([
	["Node", onNode],
	["the web", onTheWeb],
])("workers of %s", (_, platform) => {
	beforeEach(() => platform());

	it("make normals of the words of the platform's generator, which they clear", async () => {
		const buffers = new Set<Uint32Array>();
		let word = 1;
		vi.spyOn(globalThis.crypto, "getRandomValues").mockImplementation((words) => {
			buffers.add(words as unknown as Uint32Array);
			const own = words as unknown as Uint32Array;
			for (let i = 0; i < own.length; i++) own[i] = word = Math.imul(word, 1664525) + 1013904223;
			return words;
		});
		const [got] = (await new NoiseWorkers(1).normals(WORTH + 5)) ?? [];
		const expected = new Float64Array(WORTH + 5);
		const words = new Uint32Array(2 * CHUNK);
		word = 1;
		for (let at = 0; at < expected.length; at += CHUNK) {
			for (let i = 0; i < words.length; i++) words[i] = word = Math.imul(word, 1664525) + 1013904223;
			normalsFrom(words, expected.subarray(at, at + CHUNK));
		}
		expect([got.length, got.findIndex((v, i) => v !== expected[i])]).toEqual([expected.length, -1]);
		expect([...buffers].map((own) => own.every((w) => w === 0))).toEqual([true]);
	});

	it("have equal shares of whole pairs, given in order, and are opened once", async () => {
		Standin.answers = false;
		const workers = new NoiseWorkers(3);
		const [first, second] = [workers.normals(200_001), workers.normals(WORTH)];
		await new Promise((resolve) => setTimeout(resolve, 20));
		expect(Standin.all.map(({ asked }) => asked)).toEqual([
			[66_668, 43_692],
			[66_668, 43_692],
			[66_665, 43_688],
		]);
		// The last one first: each answers its own requests in order.
		for (const [i, worker] of [...Standin.all.entries()].reverse()) {
			for (const [k, length] of worker.asked.entries()) worker.answer(new Float64Array(length).fill(10 * k + i));
			worker.answer(new Float64Array(1));
		}
		const found = (runs: readonly Float64Array[] | undefined) => runs?.map((run) => [...new Set(run), run.length]);
		expect(found(await first)).toEqual([
			[0, 66_668],
			[1, 66_668],
			[2, 66_665],
		]);
		expect(found(await second)).toEqual([
			[10, 43_692],
			[11, 43_692],
			[12, 43_688],
		]);
		expect(Standin.all).toHaveLength(3);
	});

	it("have nothing to do where there are more of them than shares", async () => {
		expect(joined((await new NoiseWorkers(600).normals(WORTH)) ?? []).length).toBe(WORTH);
		expect(Standin.all).toHaveLength(600);
		expect(Standin.all.at(-1)?.asked).toEqual([0]);
	});

	it("are not opened for few normals, nor after the end", async () => {
		const workers = new NoiseWorkers(2);
		expect(await workers.normals(WORTH - 1)).toBeUndefined();
		workers.close();
		expect(await workers.normals(WORTH)).toBeUndefined();
		expect(Standin.all).toEqual([]);
	});

	it("end when they are closed", async () => {
		const workers = new NoiseWorkers(2);
		expect((await workers.normals(WORTH))?.map((run) => run.length)).toEqual([WORTH / 2, WORTH / 2]);
		workers.close();
		workers.close();
		expect(Standin.all.map(({ done }) => done.filter((what) => what === "terminated").length)).toEqual([1, 1]);
		expect(revoked).toEqual(pages.map((_, i) => `blob:${i}`));
		expect(await workers.normals(WORTH)).toBeUndefined();
		expect(Standin.all).toHaveLength(2);
	});

	it("that draw too few have drawn nothing, and are asked no more", async () => {
		Standin.answers = false;
		const workers = new NoiseWorkers(2);
		const asked = workers.normals(WORTH);
		await new Promise((resolve) => setTimeout(resolve, 20));
		for (const [i, worker] of Standin.all.entries()) worker.answer(new Float64Array(WORTH / 2 - i));
		expect(await asked).toBeUndefined();
		expect(Standin.all.every(({ done }) => done.includes("terminated"))).toBe(true);
		expect(await workers.normals(WORTH)).toBeUndefined();
	});

	it("that fail leave nobody waiting, and are asked no more", async () => {
		Standin.fails = new Error("out of memory");
		const workers = new NoiseWorkers(2);
		expect(await Promise.all([workers.normals(WORTH), workers.normals(WORTH)])).toEqual([undefined, undefined]);
		expect(Standin.all.every(({ done }) => done.includes("terminated"))).toBe(true);
		Standin.fails = undefined;
		expect(await workers.normals(WORTH)).toBeUndefined();
		expect(Standin.all).toHaveLength(2);
	});
});

describe("a worker of Node", () => {
	it("keeps the process alive while it is asked, and takes none of its flags", async () => {
		onNode();
		await new NoiseWorkers(1).normals(WORTH);
		expect(Standin.all[0].done).toEqual(["unref", "ref", "asked", "unref"]);
		expect(Thread.options).toEqual([{ eval: true, execArgv: [], name: "noise" }]);
	});
});

describe("a worker of the web", () => {
	it("is a script", async () => {
		onTheWeb();
		await new NoiseWorkers(1).normals(WORTH);
		expect(pages.map(({ type }) => type)).toEqual(["text/javascript"]);
	});

	it("that is forbidden is none", async () => {
		vi.stubGlobal("Worker", () => {
			throw new Error("forbidden");
		});
		const workers = new NoiseWorkers(1);
		expect(await workers.normals(WORTH)).toBeUndefined();
		onTheWeb();
		expect(await workers.normals(WORTH)).toBeUndefined();
		expect(Standin.all).toEqual([]);
	});
});

describe("as many workers", () => {
	it.each([
		[1, 1],
		[2, 1],
		[3, 2],
		[5, 4],
		[64, 4],
	])("as there are cores beside the own one, four at most: of %i cores %i", async (cores, count) => {
		onNode(cores);
		vi.stubGlobal("navigator", undefined);
		await new NoiseWorkers().normals(WORTH);
		expect(Standin.all).toHaveLength(count);
		Standin.all = [];
		onNode(33);
		vi.stubGlobal("navigator", { hardwareConcurrency: cores });
		await new NoiseWorkers().normals(WORTH);
		expect(Standin.all).toHaveLength(count);
	});
});
