import { type Device, requestDevice } from "@hushgrad/tensor";
import { PLAN } from "./environment.ts";

/** A device of which the library believes that one storage binding holds so many bytes. The caller destroys it. */
export async function smallDevice(bytes: number, plan = PLAN): Promise<Device> {
	const device = await requestDevice({ plan });
	const limits = new Proxy(device.gpu.limits, {
		get: (own, name) => (name === "maxStorageBufferBindingSize" ? bytes : Reflect.get(own, name, own)),
	});
	Object.defineProperty(device.gpu, "limits", { value: limits });
	return device;
}
