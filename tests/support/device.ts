import { type Device, type DeviceOptions, requestDevice } from "@hushgrad/tensor";
import { afterAll, beforeAll } from "vitest";
import { PLAN, setting } from "./environment.ts";
import { matrixDevice } from "./matrixDevice.ts";

/** One device for a test file. A missing device, or another one than the run is meant for, fails the run. */
export function useDevice(options: DeviceOptions = {}): () => Device {
	let device: Device | undefined;
	beforeAll(async () => {
		const { plan = PLAN } = options;
		device = await (plan === "matrix" ? matrixDevice() : requestDevice({ ...options, plan }));
		const { vendor, architecture, device: model, description } = device.info;
		const name = [vendor, architecture, model, description].join(" ");
		const expected = setting("HUSHGRAD_EXPECT_ADAPTER");
		if (expected !== undefined && !new RegExp(expected, "i").test(name)) throw new Error(`the adapter is "${name}", not ${expected}`);
	});
	afterAll(() => device?.destroy());
	return () => {
		if (device === undefined) throw new Error("no device");
		return device;
	};
}
