import { FLOATS } from "../dtype.ts";
import { ShapeError, ValueError } from "../errors.ts";
import { expects, optionsOf } from "../expects.ts";
import { named } from "../named.ts";
import { normalizeAxis, sameShape, showShape } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { checkType } from "./arguments.ts";
import { add, div, eq, logicalOr, maskedFill, mul } from "./binary.ts";
import { full, ones } from "./create.ts";
import { sum } from "./expand.ts";
import { gatherPrimitive } from "./indexing.ts";
import { IGNORE_INDEX } from "./linearCrossEntropy.grad.ts";
import { logSoftmax } from "./logSoftmax.ts";
import { LOSS, type LossOptions } from "./losses.ts";
import { mean } from "./reduce.ts";
import { isnan, neg } from "./unary.ts";
import { movedim, reshape, squeeze, unsqueeze } from "./view.ts";
import { inF32 } from "./widen.ts";

/** How `nllLoss` treats and sums up rows. */
export interface NllOptions extends LossOptions {
	/** Label of rows that are left out; −100 (`IGNORE_INDEX`) when left out. */
	readonly ignoreIndex?: number | undefined;
	/** Axis of the classes; the last when left out. torch's is axis 1 of a batch `[N, C, …]`, axis 0 of one record. */
	readonly axis?: number | undefined;
	/** Weight of each class, f32 `[C]`; 1 when left out. The mean is then over the weights of the rows' labels. */
	readonly weight?: Tensor | undefined;
}

/** How `crossEntropy` treats and sums up rows. */
export interface CrossEntropyOptions extends NllOptions {
	/** Part of each target that is spread evenly over all classes, from 0 to 1; 0 when left out. */
	readonly labelSmoothing?: number | undefined;
}

const NLL = { ...LOSS, ignoreIndex: "number?", axis: "whole?", weight: "tensor?" } as const;

/** Scores with the classes last, and what options must be. */
function checked(op: string, scores: Tensor, { axis = -1, weight, ignoreIndex = IGNORE_INDEX }: NllOptions): Tensor {
	if (weight !== undefined) checkType(op, weight, FLOATS, "weight");
	if ((ignoreIndex | 0) !== ignoreIndex) throw new ValueError("loss/ignore", `${op}: ignoreIndex ${ignoreIndex} is no i32`, { op });
	const last = movedim(scores, normalizeAxis(op, axis, scores.rank), -1);
	const classes = last.shape[last.rank - 1];
	if (weight !== undefined && !sameShape(weight.shape, [classes])) {
		throw new ShapeError("loss/weight", `${op}: weight${showShape(weight.shape)}, expected one of each of ${classes} classes`, { op });
	}
	return last;
}

/** The loss of logarithms of probabilities `[..., C]` with labels `[...]`. */
function ofLabels(op: string, logs: Tensor, labels: Tensor, options: CrossEntropyOptions): Tensor {
	const { ignoreIndex = IGNORE_INDEX, weight, labelSmoothing = 0, reduction = "mean" } = options;
	const classes = logs.shape[logs.rank - 1];
	checkType(op, labels, ["i32"], "labels");
	if (!sameShape(labels.shape, logs.shape.slice(0, -1))) {
		throw new ShapeError("loss/labels", `${op}: labels${showShape(labels.shape)} for scores${showShape(logs.shape)}, classes last`, {
			op,
			hint: "one label for each row; the option axis says where the classes are",
		});
	}
	const ignored = eq(labels, full(labels.device, [], ignoreIndex, "i32"));
	const known = reshape(maskedFill(labels, ignored, 0), [labels.size]);
	// NaN where a label is no class; there class 0 is picked, so that NaN reaches the gradient of its row.
	const weights = reshape(gatherPrimitive.apply([weight ?? ones(logs.device, [classes]), known])[0], labels.shape);
	const picks = maskedFill(labels, logicalOr(ignored, isnan(weights)), 0);
	let terms = mul(weights, squeeze(gatherPrimitive.apply([logs, unsqueeze(picks, -1)])[0], -1));
	if (labelSmoothing > 0) {
		const all = sum(weight === undefined ? logs : mul(logs, weight), [-1]);
		terms = add(mul(terms, 1 - labelSmoothing), mul(all, labelSmoothing / classes));
	}
	const losses = maskedFill(neg(terms), ignored, 0);
	if (reduction === "none") return losses;
	return reduction === "sum" ? sum(losses) : div(sum(losses), sum(maskedFill(weights, ignored, 0)));
}

/**
 * Negative log-likelihood, torch's nll_loss: −weight[label] · logs[label] over the axis of the classes. logs (of `logSoftmax`) f32 or
 * f16 `[..., C]`, labels i32 `[...]` → a scalar, f32, or `[...]` with reduction "none". Rows left out have loss and gradient 0; "mean"
 * of none but such is NaN. Another label outside 0..C−1 makes the loss of its row NaN, and the gradient too.
 * @throws ShapeError unless there is one label for each row, and one weight for each class.
 * @throws DTypeError unless logs are f32 or f16 and labels i32.
 * @throws ValueError for another reduction, an `ignoreIndex` that is no i32, or an axis out of range.
 */
export const nllLoss = named("nllLoss", (logs: Tensor, labels: Tensor, options: NllOptions = {}): Tensor => {
	checkType("nllLoss", logs, FLOATS, "logs");
	const { ignoreIndex, weight, reduction } = optionsOf("nllLoss", options, NLL);
	return ofLabels("nllLoss", checked("nllLoss", inF32(logs), options), labels, { ignoreIndex, weight, reduction });
});

/**
 * Cross-entropy of logits with targets, −∑ₖ weightₖ tₖ ln softmax(logits)ₖ over the axis of the classes: torch's cross_entropy. Logits
 * f32 or f16 `[..., C]`. The targets are labels, i32 `[...]`, or probabilities, f32 or f16 of the shape of the logits, which may have a
 * gradient. → a scalar, f32, or `[...]` with reduction "none". "mean" is over the (weights of the) labels that are not left out, and
 * over all rows of probabilities. Rows left out have loss and gradient 0; "mean" of none but such is NaN. Another label outside
 * 0..C−1 makes the loss of its row NaN, and the gradient too. For a large vocabulary behind a linear map, `linearCrossEntropy` needs
 * less memory.
 * @throws ShapeError unless there is one target for each row, and one weight for each class.
 * @throws DTypeError for other types.
 * @throws ValueError for another reduction, an `ignoreIndex` that is no i32, a `labelSmoothing` outside 0 to 1, or an axis out of range.
 */
export const crossEntropy = named("crossEntropy", (logits: Tensor, target: Tensor, options: CrossEntropyOptions = {}): Tensor => {
	const op = "crossEntropy";
	checkType(op, logits, FLOATS, "logits");
	expects(op, { target }, { target: "tensor" });
	const { labelSmoothing = 0, weight, reduction = "mean", axis = -1 } = optionsOf(op, options, { ...NLL, labelSmoothing: "number?" });
	if (!(labelSmoothing >= 0 && labelSmoothing <= 1)) {
		throw new ValueError("loss/smoothing", `${op}: labelSmoothing is ${labelSmoothing}, expected 0 to 1`, { op });
	}
	const logs = logSoftmax(checked(op, inF32(logits), options));
	if (!FLOATS.includes(target.dtype)) return ofLabels(op, logs, target, options);
	if (!sameShape(target.shape, logits.shape)) {
		const text = `${op}: probabilities${showShape(target.shape)} for logits${showShape(logits.shape)}`;
		throw new ShapeError("loss/labels", text, { op, hint: "labels of classes are i32" });
	}
	const given = movedim(inF32(target), axis, -1);
	const classes = logs.shape[logs.rank - 1];
	const t = labelSmoothing > 0 ? add(mul(given, 1 - labelSmoothing), labelSmoothing / classes) : given;
	const terms = mul(t, logs);
	const losses = neg(sum(weight === undefined ? terms : mul(terms, weight), [-1]));
	return reduction === "none" ? losses : (reduction === "sum" ? sum : mean)(losses);
});
