import { runtimeOf } from "./device.ts";
import { Physical } from "./physical.ts";
import { insideOf, type Tensor } from "./tensor.ts";

/**
 * What kernels see of a tensor, record axis in front. `count` is the number of records of the program that runs, or 1; a tensor
 * that has no records is repeated with stride 0. For kernels that are run outside of `record`, on tensors without gradients.
 * @throws DisposedError after the release of t.
 */
export function physicalOf(t: Tensor, count: number): Physical {
	const { storage, strides, offset, recordStride } = insideOf(t);
	return new Physical(runtimeOf(t.device), storage, t.dtype, { shape: [count, ...t.shape], strides: [recordStride, ...strides], offset });
}
