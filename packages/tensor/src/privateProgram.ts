import { type Device, runtimeOf } from "./device.ts";
import { ValueError } from "./errors.ts";
import { insideOf, type Tensor } from "./tensor.ts";
import { World } from "./world.ts";

/**
 * Runs a program in a closed world: its kernels read the tensors in `open` (the batch, and what is public) and what was
 * made inside, and write only what was made inside; nothing is uploaded or read back. What it returns may be used outside.
 * @throws PrivacyError from inside, where the program does otherwise; ValueError while a gradient is being computed.
 */
export function privateProgram<T>(device: Device, open: Iterable<Tensor>, program: () => T): T {
	const runtime = runtimeOf(device);
	if (runtime.tape !== undefined || runtime.records !== undefined) {
		throw new ValueError("privacy/started-inside", "a private program starts inside of another computation", {
			hint: "call it by itself, outside of valueAndGrad and vmap",
		});
	}
	const storages = [...open].map((t) => insideOf(t).storage);
	return runtime.inside(new World(runtime.nextBirth, storages), program);
}
