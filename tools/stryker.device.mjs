// @ts-nocheck: it stands in for a module of other types
/** What stands in for tests/support/device.ts in `stryker.runner.mjs`: the device of a file stays over all mutants, with its pipelines. */
import { requestDevice } from "@hushgrad/tensor";
import { afterAll, beforeAll } from "vitest";

/** One device for a test file; a device that was lost or destroyed is asked for anew. */
export function useDevice(options = {}) {
	let device;
	beforeAll(async () => {
		if (device !== undefined) return;
		const asked = await requestDevice(options);
		asked.gpu.lost.then(() => {
			if (device === asked) device = undefined;
		});
		device = asked;
	});
	if (process.env.HUSHGRAD_MUTATION_FRESH === "1") afterAll(() => device.destroy());
	return () => device;
}
