import { ShapeError, ValueError } from "../errors.ts";
import { sameShape, showShape } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { div, eq, maskedFill } from "./binary.ts";
import { cast } from "./cast.ts";
import { full } from "./create.ts";
import { sum } from "./expand.ts";
import { gatherPrimitive } from "./indexing.ts";
import { IGNORE_INDEX } from "./linearCrossEntropy.ts";
import { logSoftmax } from "./logSoftmax.ts";
import { logicalNot, neg } from "./unary.ts";
import { squeeze, unsqueeze } from "./view.ts";

/** How `crossEntropy` treats and sums up rows. */
export interface CrossEntropyOptions {
	/** Label of rows that are left out; −100 (`IGNORE_INDEX`) when left out. */
	readonly ignoreIndex?: number | undefined;
	/** "mean" (when left out) over the rows that are not left out, "sum", or "none" for one loss a row. */
	readonly reduction?: "mean" | "sum" | "none" | undefined;
}

/**
 * Cross-entropy of logits with labels: −ln softmax(logits)[label], over the last axis. Logits f32 `[..., C]`, labels i32
 * `[...]` → a scalar, or `[...]` with reduction "none". Rows left out have loss and gradient 0; "mean" of none but such is NaN.
 * A label outside 0..C−1, also a negative one other than `ignoreIndex`, gives NaN and no gradient. For a large vocabulary
 * behind a linear map, `linearCrossEntropy` needs less memory.
 * @throws ShapeError unless there is one label for each row.
 * @throws DTypeError unless logits are f32 and labels i32.
 * @throws ValueError for another reduction, an `ignoreIndex` that is no i32, or logits without an axis.
 */
export function crossEntropy(
	logits: Tensor,
	labels: Tensor,
	{ ignoreIndex = IGNORE_INDEX, reduction = "mean" }: CrossEntropyOptions = {},
): Tensor {
	if (!sameShape(labels.shape, logits.shape.slice(0, -1))) {
		throw new ShapeError(
			"crossEntropy/labels",
			`crossEntropy: labels${showShape(labels.shape)} do not match logits${showShape(logits.shape)}`,
			{
				op: "crossEntropy",
				hint: "one label for each row; classes are the last axis",
			},
		);
	}
	if (!["mean", "sum", "none"].includes(reduction)) {
		throw new ValueError("crossEntropy/reduction", `crossEntropy: "${reduction}" is none of mean, sum, none`, { op: "crossEntropy" });
	}
	const ignored = eq(labels, full(labels.device, [], ignoreIndex, "i32"));
	const picked = gatherPrimitive.apply([logSoftmax(logits), unsqueeze(maskedFill(labels, ignored, 0), -1)])[0];
	const losses = maskedFill(neg(squeeze(picked, -1)), ignored, 0);
	if (reduction === "none") return losses;
	const total = sum(losses);
	return reduction === "sum" ? total : div(total, sum(cast(logicalNot(ignored), "f32")));
}
