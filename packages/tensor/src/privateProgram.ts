import { type Device, runtimeOf } from "./device.ts";
import { PrivacyError, ValueError } from "./errors.ts";
import { holdsLate, type NotPromise, tensorsIn } from "./scopes.ts";
import { insideOf, type Tensor } from "./tensor.ts";
import { World } from "./world.ts";

/** @throws ValueError while the device runs another private program, a program for one record, a gradient, or a capture. */
export function checkNotInside(device: Device): void {
	if (runtimeOf(device).recorder.isListening) throw startedInside();
	checkOutside(device);
}

/** @throws ValueError while the device runs another private program, a program for one record, or a gradient. */
function checkOutside(device: Device): void {
	const { tape, records, world } = runtimeOf(device);
	if (tape !== undefined || records !== undefined || world !== undefined) throw startedInside();
}

const startedInside = (): ValueError =>
	new ValueError("privacy/started-inside", "a private program starts inside of another computation", {
		hint: "call it by itself, outside of valueAndGrad, vmap and capture",
	});

/**
 * Runs a program once in a closed world, which ends when it returns: it must not be async. In it, kernels read the tensors in
 * `open` (the batch, and what is public; views of their memory too) and what was made inside, and write only what was made
 * inside; nothing is uploaded, read back, captured or replayed. It adds no noise and bounds nothing: that is the engine's part.
 * What it returns, tensors as of `device.scope`, may be used outside; a function of one record is run by calling `vmap` inside.
 * It may be part of a step that is captured: whoever replays that sees to it that the tensors in `open` are still what they were.
 * @throws PrivacyError from inside, where the program does otherwise (`privacy/outside-read`, `-write`, `-data`), for a
 * result that no kernel has read but that comes from elsewhere, such as a gradient that customVjp hands over, and where a promise
 * or a generator is, or is in, what it returns (`privacy/async`): then all that it made is released; ValueError inside another
 * private program, inside `vmap`, and while a gradient is being computed.
 */
export function privateProgram<T>(device: Device, open: Iterable<Tensor>, program: () => T & NotPromise<T>): T {
	const runtime = runtimeOf(device);
	if (runtime.world === undefined) checkOutside(device);
	const storages = [...open].map((t) => insideOf(t).storage);
	const world = new World(runtime.nextBirth, storages);
	return runtime.scope(() => {
		const result = runtime.inside(world, program);
		if (holdsLate(result)) {
			throw new PrivacyError("privacy/async", "a private program is async or a generator: it would run on outside of its closed world", {
				hint: "a program computes and returns; read what it returns afterwards",
			});
		}
		for (const t of tensorsIn(result)) {
			if (world.isOpen(insideOf(t).storage)) continue;
			throw new PrivacyError("privacy/outside-read", `a private program would return ${t}, which was made outside of it`, {
				hint: "values and gradients are computed from the record, from public tensors, and from what is made inside",
			});
		}
		return result;
	});
}
