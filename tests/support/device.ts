import { type Device, type DeviceOptions, requestDevice } from "@hushgrad/tensor";
import { afterAll, beforeAll } from "vitest";

/** One device for a test file. A missing device fails the run. */
export function useDevice(options: DeviceOptions = {}): () => Device {
	let device: Device | undefined;
	beforeAll(async () => {
		device = await requestDevice(options);
	});
	afterAll(() => device?.destroy());
	return () => {
		if (device === undefined) throw new Error("no device");
		return device;
	};
}
