import { type Device, requestDevice } from "@hushgrad/tensor";

/** Opens the GPU that the setting `gpu` names, by a part of its name or by its number; the first one without. @throws DeviceError as `requestDevice`. */
export const requestGpu = (gpu?: string): Promise<Device> =>
	requestDevice({ adapter: gpu !== undefined && /^\d+$/.test(gpu) ? Number(gpu) : gpu });
