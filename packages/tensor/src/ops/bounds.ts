import type { Bound } from "../primitive.ts";

/* Bounds that rows of several files have. */

export const EXACT: Bound = { ulp: 0, why: "rounds to a whole number or only moves bits" };
export const EXP: Bound = { ulp: 10, why: "WGSL: exp is within 3 + 2|x| ULP, |x| <= 3" };
