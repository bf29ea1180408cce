import { type Device, reshape, slice, Tensor, vmap } from "@hushgrad/tensor";
import { expects, oneOf, privateProgram, rowsOf, type StreamedGradient, type Streaming, sizeOf, tensorsIn } from "@hushgrad/tensor/author";
import { type GradientColumns, type RecordGradient, STREAMED_BYTES } from "./clip/blocks.ts";

/**
 * How the gradients of single records are had; the same bits come out. "instantiated": all of a physical batch are held, B · P numbers.
 * "streamed": what they follow from is held (book-keeping, Bu et al. 2023, arXiv:2210.00038), which of a layer [p, d] on T tokens is
 * B · T · (d + p) numbers; from it pieces of 16 MiB are computed, once for the norms and once for the sum, at the cost of one more product a
 * layer. "auto": whichever takes less, parameter by parameter; what fits one piece is instantiated. Streamed are weights of `linear`, tables of
 * `embedding` and heads of `linearCrossEntropy`; gradients by others are instantiated in any case.
 */
export type GradientMode = "auto" | "instantiated" | "streamed";

/** Rows of a parameter that are computed together. */
const TILE = 8;

/** What is streamed. @throws ValueError for no such mode. */
export function choiceOf(mode: GradientMode, device: Device): Streaming["choose"] {
	expects("PrivacyEngine", { gradients: mode }, { gradients: oneOf("auto", "instantiated", "streamed") });
	const { maxStorageBufferBindingSize } = device.gpu.limits;
	if (mode !== "auto") return () => mode === "streamed";
	return (bytes, given) => bytes > Math.min(maxStorageBufferBindingSize, Math.max(given, STREAMED_BYTES));
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
