import { ShapeError, ValueError } from "./errors.ts";
import { showShape } from "./shape.ts";
import type { Tensor } from "./tensor.ts";

/**
 * One operand of a signature, for example `w[B?, N, K]`.
 * `leading`: it starts with `...`, any number of batch axes. `sample`: it starts with `B?`, an optional sample axis.
 */
export interface Operand {
	readonly name: string;
	readonly leading: boolean;
	readonly sample: boolean;
	readonly axes: readonly string[];
	/** Broadcast freely against the other operands (element-wise operations align it themselves). */
	readonly shared: boolean;
}

export interface Signature {
	readonly text: string;
	readonly inputs: readonly Operand[];
	readonly outputs: readonly Operand[];
}

/** Extents of the named axes of one call. */
export type Axes = Readonly<Record<string, number>>;

/** Parses `"x[..., D], w[B?, D] -> y[..., D]"`. `~` in front of a name lets the operand broadcast freely. */
export function parseSignature(text: string): Signature {
	const [left, right, ...rest] = text.split("->");
	if (right === undefined || rest.length > 0) throw new ValueError("signature/arrow", `signature "${text}" needs one ->`);
	return { text, inputs: parseOperands(left, text), outputs: parseOperands(right, text) };
}

function parseOperands(part: string, text: string): Operand[] {
	const found = [...part.matchAll(/(~?)(\w+)\s*\[([^\]]*)\]/g)];
	if (found.length === 0) throw new ValueError("signature/operand", `signature "${text}" names no operand`);
	return found.map(([, tilde, name, list]) => {
		const axes = list
			.split(",")
			.map((a) => a.trim())
			.filter((a) => a !== "");
		const leading = axes[0] === "...";
		const sample = axes[0] === "B?";
		return { name, leading, sample, axes: leading || sample ? axes.slice(1) : axes, shared: tilde === "~" };
	});
}

/** Binds axis names to extents and refuses operands that contradict the signature. */
export function bindAxes(op: string, signature: Signature, inputs: readonly Tensor[]): Axes {
	const axes: Record<string, number> = {};
	const setBy: Record<string, string> = {};
	let lead: { readonly own: string; readonly show: string } | undefined;
	signature.inputs.forEach((operand, i) => {
		const { shape, perSample } = inputs[i];
		const show = `${operand.name}${showShape(shape)}`;
		const need = operand.axes.length;
		const extra = shape.length - need;
		const fits = operand.leading ? extra >= 0 : operand.sample ? extra === 0 || (extra === 1 && perSample) : extra === 0;
		if (!fits) {
			throw new ShapeError("shape/rank", `${op}: ${show} has rank ${shape.length}; the signature is ${signature.text}`, {
				op,
				hint: operand.sample && extra === 1 ? "axis 0 is not marked as the sample axis" : undefined,
			});
		}
		if (operand.leading && !operand.shared) {
			const own = showShape(shape.slice(0, extra));
			lead ??= { own, show };
			if (lead.own !== own) {
				throw new ShapeError("shape/leading", `${op}: the leading axes differ: ${lead.show} has ${lead.own}, ${show} has ${own}`, {
					op,
					hint: `the signature is ${signature.text}`,
				});
			}
		}
		operand.axes.forEach((axis, k) => {
			const extent = shape[extra + k];
			if (/^\d+$/.test(axis)) {
				if (extent !== Number(axis)) throw new ShapeError("shape/extent", `${op}: ${show} must have ${axis} on axis ${k}`, { op });
				return;
			}
			if (axes[axis] === undefined) {
				axes[axis] = extent;
				setBy[axis] = show;
			} else if (axes[axis] !== extent) {
				throw new ShapeError("shape/axis", `${op}: axis ${axis} differs: ${setBy[axis]} has ${axes[axis]}, ${show} has ${extent}`, {
					op,
					hint: `the signature is ${signature.text}`,
				});
			}
		});
	});
	return axes;
}
