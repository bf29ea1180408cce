import type { Tensor } from "../tensor.ts";
import { cast } from "./cast.ts";

/** x in f32 where it is f16: for operations whose sums and exponentials f16 does not hold. */
export const inF32 = (x: Tensor): Tensor => (x.dtype === "f16" ? cast(x, "f32") : x);
