import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { SafetensorsReader, toFloat32 } from "@hushgrad/nn";

/** A path below tests/goldens. */
export function goldenPath(path: string): string {
	return fileURLToPath(new URL(`../goldens/${path}`, import.meta.url));
}

export function goldenJson<T>(path: string): T {
	return JSON.parse(readFileSync(goldenPath(path), "utf8")) as T;
}

/** Every tensor of a safetensors file as f32. */
export async function goldenTensors(path: string): Promise<Map<string, Float32Array>> {
	const bytes = new Uint8Array(readFileSync(goldenPath(path)));
	const reader = await SafetensorsReader.open({ path, size: bytes.length, read: async (a, b) => bytes.slice(a, b), close: async () => {} });
	const tensors = new Map<string, Float32Array>();
	for (const name of reader.names()) tensors.set(name, toFloat32(await reader.read(name), reader.info(name).dtype));
	return tensors;
}

/** Largest difference, relative to the largest expected magnitude. */
export function relativeError(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
	if (actual.length !== expected.length) throw new Error(`${actual.length} values, expected ${expected.length}`);
	let error = 0;
	let scale = 0;
	for (let i = 0; i < expected.length; i++) {
		// Math.max keeps a NaN, so that it cannot pass for a small error.
		error = Math.max(error, Math.abs(actual[i] - expected[i]));
		scale = Math.max(scale, Math.abs(expected[i]));
	}
	return error / scale;
}
