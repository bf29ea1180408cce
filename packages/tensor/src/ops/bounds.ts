import type { Bound } from "../primitive.ts";

/* Bounds that rows of several files have. */

export const EXACT: Bound = { ulp: 0, why: "rounds to a whole number or only moves bits" };
/** Of functions in gpu/elementary.ts: docs/accuracy.md has the worst that was found. */
export const ELEMENTARY: Bound = { ulp: 2, why: "polynomials of our own: within 4 ULP for all x, on every driver" };
export const DIVIDED: Bound = { ulp: 4, why: "polynomials of our own within 4 ULP, and WGSL's division within 2.5" };
