import { collect, type Registry } from "@hushgrad/tensor/registry";
import * as clip from "./clip.ts";

/**
 * The operations and kernels that this package defines, for the tests that run every one of them: those of clipping and summing.
 */
export const registry: Registry = collect(clip);
