/**
 * What is held by programs that say nothing about memory, and what an operation costs the host.
 *
 *     node --import tsx -C @hushgrad/source bench/memory.ts
 *
 * Each case runs in a process of its own and prints JSON: bytes in MB (10^6), `peak` those in use at once by commands, `held`
 * those of all buffers. The chain is 200 additions of 4 MB; the loop 1,000 steps of gradient descent, read by `item` each time.
 */
import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import {
	add,
	type Device,
	data,
	item,
	key,
	matmul,
	mul,
	normal,
	requestDevice,
	square,
	sub,
	sum,
	type Tensor,
	tanh,
	valueAndGrad,
} from "@hushgrad/tensor";

const MEGABYTE = 1e6;

/** 200 additions of 4 MB, each from the one before. */
function chain(x: Tensor): Tensor {
	let y = x;
	for (let i = 0; i < 200; i++) y = add(y, 1);
	return y;
}

/** Gradient descent as a reader of a first tutorial writes it: no scope, no dispose. */
async function loop(device: Device, steps: number, rows: number): Promise<void> {
	const x = normal(device, [rows, 64], key(0));
	const y = normal(device, [rows, 1], key(1));
	const w = { value: normal(device, [64, 1], key(2)) };
	for (let i = 0; i < steps; i++) {
		const { value, grads } = valueAndGrad(() => sum(square(sub(tanh(matmul(x, w.value)), y))), [w]);
		w.value = sub(w.value, mul(grads[0], 1e-4));
		await item(value);
	}
}

const CASES: Readonly<Record<string, (device: Device) => Promise<unknown>>> = {
	"chain in a scope": async (device) => {
		const x = normal(device, [2 ** 20], key(0));
		await data(device.scope(() => chain(x)));
	},
	"chain outside of scopes": async (device) => {
		const x = normal(device, [2 ** 20], key(0));
		await data(chain(x));
	},
	"loop of 1,000 small steps outside of scopes": (device) => loop(device, 1000, 64),
	"loop of 1,000 steps with 1 MB of activations outside of scopes": async (device) => {
		const x = normal(device, [2 ** 18], key(0));
		for (let i = 0; i < 1000; i++) await item(sum(square(tanh(x))));
	},
	"10,000 eager additions in scopes of 100": async (device) => {
		const x = normal(device, [256], key(0));
		const run = (): void => {
			for (let i = 0; i < 100; i++) {
				device.scope<void>(() => {
					let y = x;
					for (let k = 0; k < 100; k++) y = add(y, x);
				});
			}
		};
		run();
		await device.flush();
		const start = performance.now();
		run();
		const recorded = performance.now() - start;
		await device.flush();
		return { recordedMs: Math.round(recorded), ms: Math.round(performance.now() - start) };
	},
};

async function measure(name: string): Promise<void> {
	const lines: string[] = [];
	const device = await requestDevice({ debug: { log: (text) => lines.push(text) } });
	const start = performance.now();
	const more = await CASES[name](device);
	await device.flush();
	const ms = Math.round(performance.now() - start);
	const { peakBytes, heldBytes, heldBuffers, liveBuffers } = device.memory();
	const megabytes = (n: number): number => Math.round(n / MEGABYTE);
	const rss = megabytes(process.resourceUsage().maxRSS * 1024);
	const result = { case: name, peak: megabytes(peakBytes), held: megabytes(heldBytes), heldBuffers, liveBuffers, rss, ms };
	console.log(JSON.stringify({ ...result, ...(more ?? {}), ...(lines.length > 0 && { said: lines }) }));
	device.destroy();
}

const [only] = process.argv.slice(2);
if (only !== undefined) await measure(only);
else {
	for (const name of Object.keys(CASES)) {
		const args = ["--import", "tsx", "-C", "@hushgrad/source", fileURLToPath(import.meta.url), name];
		process.stdout.write(execFileSync(process.execPath, args, { encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] }));
	}
}
