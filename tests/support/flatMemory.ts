import type { Device, MemoryReport } from "@hushgrad/tensor";
import { runtimeOf } from "@hushgrad/tensor/author";
import { afterEach, beforeEach, expect } from "vitest";

/**
 * Every test of the file ends outside of every program and gradient, with the memory that it began with. Gives the check,
 * for places within a test.
 */
export function useFlatMemory(device: () => Device): () => void {
	let before: MemoryReport;
	const check = (): void => {
		expect(runtimeOf(device()).records).toBeUndefined();
		expect(runtimeOf(device()).tape).toBeUndefined();
		expect(device().memory()).toMatchObject({ liveBuffers: before.liveBuffers, liveBytes: before.liveBytes });
	};
	beforeEach(() => {
		before = device().memory();
	});
	afterEach(async () => {
		await device().flush();
		check();
	});
	return check;
}
