import { checkFinite, data, detach, type HostArray, NumericError, PrivacyError, type Tensor } from "@hushgrad/tensor";
import { insideOf } from "@hushgrad/tensor/author";
import type { Optimizer, TrainableVector } from "./optimizer.ts";

/** Hands noisy means to an optimiser, and sees that the parameters move by them, stay finite, and move by nothing else. */
export class ParameterUpdates {
	readonly #optimizer: Optimizer;
	/** That which it had at the start, whatever becomes of its fields. */
	readonly #vector: TrainableVector;
	#moved = false;
	/** How often the vector had been written when the last update had ended; undefined before the first. */
	#writes: number | undefined;

	constructor(optimizer: Optimizer) {
		this.#optimizer = optimizer;
		this.#vector = optimizer.vector;
	}

	/** @throws PrivacyError when the vector was written since the last update. */
	checkUntouched(): void {
		if (this.#writes === undefined || this.#writes === writesOf(this.#vector)) return;
		throw new PrivacyError("privacy/moved-between", "the trained parameters were written since the last private step, not by this engine", {
			hint: "a step with gradients of private records has no place between private steps; to go on from other parameters, plan a new run",
		});
	}

	/**
	 * Lets the optimiser apply a mean, f32 `[P]`.
	 * @throws PrivacyError when a parameter has not moved by the first one of a rate above 0; NumericError, naming it, when one is not finite.
	 */
	async apply(mean: Tensor): Promise<void> {
		const optimizer = this.#optimizer;
		const vector = this.#vector;
		const { device } = vector.tensor;
		const isFirst = !this.#moved && optimizer.lr > 0;
		const before = isFirst ? await data(vector.tensor) : undefined;
		device.scope(() => {
			optimizer.step(detach(mean));
			this.#writes = writesOf(vector);
			checkFinite(vector.tensor, "the parameters");
		});
		try {
			await device.flush();
		} catch (error) {
			throw error instanceof NumericError ? await nameNotFinite(vector, error) : error;
		}
		if (before === undefined) return;
		checkMoved(vector, before, await data(vector.tensor));
		this.#moved = true;
	}
}

const writesOf = ({ tensor }: TrainableVector): number => insideOf(tensor).storage.writes;

async function nameNotFinite(vector: TrainableVector, cause: NumericError): Promise<NumericError> {
	const at = (await data(vector.tensor)).findIndex((v) => !Number.isFinite(v));
	if (at < 0) return cause;
	const name = vector.nameAt(at);
	return new NumericError("numeric/not-finite", `${name} holds NaN or infinity`, { path: name, hint: cause.hint, cause });
}

function checkMoved({ parameters }: TrainableVector, before: HostArray, after: HostArray): void {
	let start = 0;
	for (const { size, label } of parameters) {
		const end = start + size;
		if (before.subarray(start, end).every((v, i) => v === after[start + i])) {
			throw new PrivacyError("privacy/not-training", `${label} did not move in the first step`, {
				hint: "the optimiser's step must change the vector that it shows the engine",
			});
		}
		start = end;
	}
}
