import { ShapeError, ValueError } from "./errors.ts";
import { showShape } from "./shape.ts";
import { insideOf, type Tensor } from "./tensor.ts";

/** One operand of a signature, for example `x[..., N, K]`. */
export interface Operand {
	readonly name: string;
	/** It starts with `...`, any number of batch axes. */
	readonly leading: boolean;
	readonly axes: readonly string[];
	/** `~x`: broadcast freely against the other operands (element-wise operations align it themselves). */
	readonly broadcast: boolean;
	/** `x!`: the same for all records, because the kernel has no stride from one record to the next. */
	readonly frozen: boolean;
}

export interface Signature {
	readonly text: string;
	readonly inputs: readonly Operand[];
	readonly outputs: readonly Operand[];
}

/** Extents of the named axes of one call. */
export type Axes = Readonly<Record<string, number>>;

/** Parses `"x[..., D], w[D] -> y[..., D]"`. */
export function parseSignature(text: string): Signature {
	const [left, right, ...rest] = text.split("->");
	if (right === undefined || rest.length > 0) throw new ValueError("signature/arrow", `signature "${text}" needs one ->`);
	return { text, inputs: parseOperands(left, text), outputs: parseOperands(right, text) };
}

function parseOperands(part: string, text: string): Operand[] {
	const found = [...part.matchAll(/(~?)([\w.]+)(!?)\s*\[([^\]]*)\]/g)];
	if (found.length === 0) throw new ValueError("signature/operand", `signature "${text}" names no operand`);
	return found.map(([, tilde, name, bang, list]) => {
		const axes = list
			.split(",")
			.map((a) => a.trim())
			.filter((a) => a !== "");
		const leading = axes[0] === "...";
		return { name, leading, axes: leading ? axes.slice(1) : axes, broadcast: tilde === "~", frozen: bang === "!" };
	});
}

/** Binds axis names to extents and refuses operands that contradict the signature. */
export function bindAxes(op: string, signature: Signature, inputs: readonly Tensor[]): Axes {
	const axes: Record<string, number> = {};
	const setBy: Record<string, string> = {};
	let lead: { readonly own: string; readonly show: string } | undefined;
	signature.inputs.forEach((operand, i) => {
		const { shape } = inputs[i];
		const show = `${operand.name}${showShape(shape)}`;
		const need = operand.axes.length;
		const extra = shape.length - need;
		if (operand.leading ? extra < 0 : extra !== 0) {
			throw new ShapeError("shape/rank", `${op}: ${show} has rank ${shape.length}; the signature is ${signature.text}`, {
				op,
				hint: extra === 1 ? "a program for one record takes a batch through vmap" : undefined,
			});
		}
		if (operand.frozen && insideOf(inputs[i]).records !== undefined) {
			throw new ValueError("vmap/frozen", `${op}: ${show} differs between records, but ${op} takes one for all`, { op });
		}
		if (operand.leading && !operand.broadcast) {
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
