import type { Device } from "@hushgrad/tensor";
import { expects, oneOf, type Streaming } from "@hushgrad/tensor/author";

/**
 * How the gradients of single records are had; the same bits come out. "instantiated": all of a physical batch are held, B · P numbers.
 * "streamed": what they follow from is held (book-keeping, Bu et al. 2023, arXiv:2210.00038), which of a layer [p, d] on T tokens is
 * B · T · (d + p) numbers; from it pieces of 16 MiB are computed, once for the norms and once for the sum, at the cost of one more product a
 * layer (two of a head). "auto": what takes less memory that way, once 256 MiB of a physical batch are held. Streamed are weights of `linear`,
 * tables of `embedding` and heads of `linearCrossEntropy`; gradients by others are instantiated in any case.
 */
export type GradientMode = "auto" | "instantiated" | "streamed";

/** Bytes of gradients that "auto" holds before it streams. */
const HELD_BYTES = 256 * 2 ** 20;

/** @throws ValueError for what is no mode. */
export function checkGradientMode(gradients: GradientMode): void {
	expects("PrivacyEngine", { gradients }, { gradients: oneOf("auto", "instantiated", "streamed") });
}

/** What is streamed of one physical batch. */
export function choiceOf(mode: GradientMode, device: Device): Streaming["choose"] {
	const { maxStorageBufferBindingSize } = device.gpu.limits;
	if (mode !== "auto") return () => mode === "streamed";
	let held = 0;
	return (bytes, given) => {
		const isStreamed = bytes > maxStorageBufferBindingSize || (bytes > given && held + bytes > HELD_BYTES);
		if (!isStreamed) held += bytes;
		return isStreamed;
	};
}
