import { type Device, runtimeOf } from "./device.ts";
import { PrivacyError, ValueError } from "./errors.ts";
import { tensorsIn } from "./scopes.ts";
import { insideOf, type Tensor } from "./tensor.ts";
import { World } from "./world.ts";

/**
 * Runs a program in a closed world: its kernels read the tensors in `open` (the batch, and what is public) and what was
 * made inside, and write only what was made inside; nothing is uploaded or read back. What it returns may be used outside.
 * @throws PrivacyError from inside, where the program does otherwise, and for a result that no kernel has read but that
 * comes from elsewhere, such as a gradient that customVjp hands over; ValueError while a gradient is being computed.
 */
export function privateProgram<T>(device: Device, open: Iterable<Tensor>, program: () => T): T {
	const runtime = runtimeOf(device);
	if (runtime.tape !== undefined || runtime.records !== undefined) {
		throw new ValueError("privacy/started-inside", "a private program starts inside of another computation", {
			hint: "call it by itself, outside of valueAndGrad and vmap",
		});
	}
	const storages = [...open].map((t) => insideOf(t).storage);
	const world = new World(runtime.nextBirth, storages);
	const result = runtime.inside(world, program);
	for (const t of tensorsIn(result)) {
		if (world.isOpen(insideOf(t).storage)) continue;
		throw new PrivacyError("privacy/outside-read", `a private program would return ${t}, which was made outside of it`, {
			hint: "values and gradients are computed from the record, from public tensors, and from what is made inside",
		});
	}
	return result;
}
