import { type Device, requestDevice } from "@hushgrad/tensor";
import { PLAN } from "./environment.ts";

/** A device of which the library believes that one storage binding holds so many bytes. The caller destroys it. */
export const smallDevice = (bytes: number, plan = PLAN): Promise<Device> => limitedDevice({ maxStorageBufferBindingSize: bytes }, plan);

/** A device of which the library believes that it has these limits. The caller destroys it. */
export async function limitedDevice(own: Readonly<Record<string, number>>, plan = PLAN): Promise<Device> {
	const device = await requestDevice({ plan });
	limit(device.gpu, own);
	return device;
}

/** Has the library believe that a device has these limits. */
export function limit(gpu: GPUDevice, own: Readonly<Record<string, number>>): void {
	const limits = new Proxy(gpu.limits, {
		get: (all, name) => own[String(name)] ?? Reflect.get(all, name, all),
	});
	Object.defineProperty(gpu, "limits", { value: limits });
}
