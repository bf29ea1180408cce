import { type Device, reshape, slice, Tensor, vmap } from "@hushgrad/tensor";
import { expects, oneOf, privateProgram, rowsOf, type StreamedGradient, type Streaming, sizeOf, tensorsIn } from "@hushgrad/tensor/author";
import type { GradientColumns, RecordGradient } from "./clip/blocks.ts";

/**
 * How the gradients of single records are had; the same bits come out. "instantiated": all of a physical batch are held, B · P numbers.
 * "streamed": what they follow from is held (book-keeping, Bu et al. 2023, arXiv:2210.00038), which of a layer [p, d] on T tokens is
 * B · T · (d + p) numbers; from it pieces of 16 MiB are computed, once for the norms and once for the sum, at the cost of one more product a
 * layer (two of a head). "auto": what takes less memory that way, once 256 MiB of a physical batch are held. Streamed are weights of `linear`,
 * tables of `embedding` and heads of `linearCrossEntropy`; gradients by others are instantiated in any case.
 */
export type GradientMode = "auto" | "instantiated" | "streamed";

/** Rows of a parameter that are computed together. */
const TILE = 8;

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

/** The gradients of the records of a batch as columns: each run of them by a closed program of its own, for one record. */
export function asColumns(device: Device, gradient: Tensor | StreamedGradient): RecordGradient {
	if (gradient instanceof Tensor) return gradient;
	const [extent, ...rest] = gradient.shape;
	const width = sizeOf(rest);
	const read = (from: number, to: number): Tensor => {
		const first = Math.floor(from / width / TILE) * TILE;
		const rows = { from: first, to: Math.min(extent, Math.ceil(to / width / TILE) * TILE) };
		const ofRecord = (own: StreamedGradient): Tensor => {
			const values = reshape(rowsOf(own, rows), [(rows.to - rows.from) * width]);
			return slice(values, 0, from - first * width, to - first * width);
		};
		return privateProgram(device, tensorsIn(gradient), () => vmap(ofRecord)(gradient));
	};
	const columns: GradientColumns = { columns: extent * width, together: TILE * width, read };
	return columns;
}
