import type { DType } from "@hushgrad/tensor";

/** |actual - expected| <= atol + rtol |expected|. */
export interface Tolerance {
	readonly rtol: number;
	readonly atol: number;
}

const EXACT: Tolerance = { rtol: 0, atol: 0 };
const DEFAULT: Tolerance = { rtol: 1e-5, atol: 1e-6 };
const ULP = 2 ** -23;

/** Give whole numbers, or one of the values they were given. */
const COPYING = `Abs ArgMax ArgMin Ceil Clip Concat Constant ConstantOfShape DepthToSpace Expand EyeLike Flatten Floor Gather
GatherElements GatherND GlobalMaxPool Hardmax Identity Max Min Neg OneHot Pad ReduceMax ReduceMin Relu Reshape Round Shape Sign Size
Slice SpaceToDepth Split Squeeze ThresholdedRelu Tile TopK Transpose Trilu Unsqueeze Where`.split(/\s+/);

/** What WGSL promises of its functions bounds what can be asked; see https://www.w3.org/TR/WGSL/#floating-point-accuracy. */
const WIDER: Readonly<Record<string, Tolerance & { readonly why: string }>> = {
	Acos: { rtol: 4096 * ULP, atol: 2 ** -11, why: "acos inherits from atan2, 4096 ULP, and sqrt" },
	Asin: { rtol: 4096 * ULP, atol: 2 ** -11, why: "asin inherits from atan2, 4096 ULP, and sqrt" },
	Atan: { rtol: 4096 * ULP, atol: 1e-6, why: "atan is within 4096 ULP" },
	Attention: { rtol: 1e-5, atol: 2e-5, why: "the cap, up to 2 to 3 tanh of 1e-5, moves scores of the exponential by 3e-5" },
	Cos: { rtol: 0, atol: 2 ** -11, why: "cos is within 2^-11" },
	Erf: { rtol: 1e-5, atol: 2e-6, why: "our erf is within 1.5e-7, times exp within 9 ULP" },
	Gelu: { rtol: 1e-5, atol: 3e-5, why: "half of |x| <= 3 times tanh's 1e-5" },
	LayerNormalization: { rtol: 1e-5, atol: 1e-5, why: "the mean is subtracted from values of size 2: their rounding, times 1 / deviation" },
	Mish: { rtol: 1e-5, atol: 1e-4, why: "|x| <= 10 times tanh's 1e-5" },
	Pow: { rtol: 100 * ULP, atol: 1e-6, why: "exp2(b log2 a), |b log2 a| <= 18: 3 + 2 * 18 ULP, and 3 ULP of the product" },
	Sin: { rtol: 0, atol: 2 ** -11, why: "sin is within 2^-11" },
	Tan: { rtol: 2 ** -8, atol: 2 ** -10, why: "tan inherits from sin / cos, each within 2^-11, cos >= 0.3" },
	Tanh: { rtol: 0, atol: 1e-5, why: "tanh is within 1e-5" },
};

/** One rounding to the type. */
const ROUNDING: Readonly<Partial<Record<DType, number>>> = { f16: 2 ** -10, bf16: 2 ** -7 };

export function toleranceOf(opType: string, dtype: DType): Tolerance {
	if (["bool", "i32", "u32", "u8"].includes(dtype) || COPYING.includes(opType)) return EXACT;
	const { rtol, atol } = WIDER[opType] ?? DEFAULT;
	return { rtol: rtol + (ROUNDING[dtype] ?? 0), atol };
}
