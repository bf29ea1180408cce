import { collect, type Registry } from "@hushgrad/tensor/registry";
import * as cachedAttention from "./cachedAttention.ts";
import * as cacheUpdate from "./cacheUpdate.ts";
import * as kernels from "./lowRank.kernel.ts";
import * as lowRank from "./lowRank.ts";
import * as adamw from "./optim/adamw.ts";
import * as sgd from "./optim/sgd.ts";
import * as nf4Kernels from "./quant/nf4.kernel.ts";
import * as nf4Adapted from "./quant/nf4Adapted.ts";
import * as nf4 from "./quant/nf4Linear.ts";
import * as nf4Together from "./quant/nf4Together.ts";
import * as updatedKernels from "./updated.kernel.ts";
import * as updated from "./updated.ts";

/**
 * The operations and kernels that this package defines, for the tests that run every one of them: NF4 products, low-rank branches and the
 * rules of the optimisers.
 */
export const registry: Registry = collect({
	...cacheUpdate,
	...cachedAttention,
	...nf4,
	...nf4Kernels,
	...nf4Adapted,
	...nf4Together,
	...lowRank,
	...kernels,
	...updated,
	...updatedKernels,
	...adamw,
	...sgd,
});
