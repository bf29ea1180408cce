import { runtimeOf } from "./device.ts";
import { Physical } from "./physical.ts";
import { insideOf, type Tensor } from "./tensor.ts";

/** What kernels see of a tensor: `count` records, or one. */
export function physicalOf(t: Tensor, count: number): Physical {
	const { storage, strides, offset, recordStride } = insideOf(t);
	return new Physical(runtimeOf(t.device), storage, t.dtype, { shape: [count, ...t.shape], strides: [recordStride, ...strides], offset });
}
