import { collect, type Registry } from "@hushgrad/tensor/registry";
import * as addNoise from "./addNoise.ts";
import * as addClipped from "./clip/addClipped.ts";
import * as addParts from "./clip/addParts.ts";
import * as clipFactors from "./clip/clipFactors.ts";
import * as differs from "./clip/differs.ts";
import * as squareParts from "./clip/squareParts.ts";

/**
 * The operations and kernels that this package defines, for the tests that run every one of them: those of clipping, summing and noise.
 */
export const registry: Registry = collect({ ...squareParts, ...addParts, ...clipFactors, ...addClipped, ...differs, ...addNoise });
