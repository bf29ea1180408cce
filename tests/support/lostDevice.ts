import type { Device } from "@hushgrad/tensor";
import { runtimeOf } from "@hushgrad/tensor/author";

/** Destroys the GPU device just before its n-th dispatch from now. */
export function destroyAtDispatch(device: Device, n: number): void {
	const { recorder } = runtimeOf(device);
	const dispatch = recorder.dispatch.bind(recorder);
	let left = n;
	recorder.dispatch = (...args) => {
		if (left-- === 0) device.gpu.destroy();
		dispatch(...args);
	};
}
