import { type Device, requestDevice } from "@hushgrad/tensor";
import { PLAN } from "./environment.ts";

/** A device of which the library believes that one storage binding holds so many bytes. The caller destroys it. */
export const smallDevice = (bytes: number, plan = PLAN): Promise<Device> => limitedDevice({ maxStorageBufferBindingSize: bytes }, plan);

/** A device of which the library believes that it has these limits. The caller destroys it. */
export async function limitedDevice(own: Readonly<Record<string, number>>, plan = PLAN): Promise<Device> {
	const device = await requestDevice({ plan });
	const limits = new Proxy(device.gpu.limits, {
		get: (all, name) => own[String(name)] ?? Reflect.get(all, name, all),
	});
	Object.defineProperty(device.gpu, "limits", { value: limits });
	return device;
}
