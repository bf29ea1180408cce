import { ShapeError, ValueError } from "./errors.ts";
import { type Shape, sameShape, showShape } from "./shape.ts";
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

type Bare<S> = S extends `${"~" | "," | " "}${infer Rest}` ? Bare<Rest> : S extends `${infer Name}!` ? Name : S;
type NamesIn<S> = S extends `${infer Head}[${string}]${infer Rest}` ? Bare<Head> | NamesIn<Rest> : never;
type Listed<S> = S extends `${infer First},${infer Rest}` ? Bare<First> | Listed<Rest> : Bare<S>;
type AxesIn<S> = S extends `${string}[${infer List}]${infer Rest}` ? Listed<List> | AxesIn<Rest> : never;

/** The operands of a signature, as the compiler reads it; any name where it is not a literal. */
export type OperandName<S extends string> = S extends `${infer Left}->${string}` ? NamesIn<Left> : string;
/** The operands and results of a signature; any name where it is not a literal. */
export type NameIn<S extends string> = S extends `${infer Left}->${infer Right}` ? NamesIn<Left> | NamesIn<Right> : string;
/** The axes that a signature names; any name where it is not a literal. */
export type AxisName<S extends string> = string extends S ? string : Exclude<AxesIn<S>, "..." | "">;

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
	const setBy: Record<string, number> = {};
	const hint = `the signature is ${signature.text}`;
	let first: number | undefined;
	signature.inputs.forEach((operand, i) => {
		const { shape } = inputs[i];
		const extra = shape.length - operand.axes.length;
		if (operand.leading ? extra < 0 : extra !== 0) {
			throw new ShapeError(
				"shape/rank",
				`${op}: ${shown(signature, inputs, i)} has rank ${shape.length}; the signature is ${signature.text}`,
				{
					op,
					hint: extra === 1 ? "a program for one record takes a batch through vmap" : undefined,
				},
			);
		}
		if (operand.frozen && insideOf(inputs[i]).records !== undefined) {
			throw new ValueError("vmap/frozen", `${op}: ${shown(signature, inputs, i)} differs between records, but ${op} takes one for all`, {
				op,
			});
		}
		if (operand.leading && !operand.broadcast) {
			first ??= i;
			const [lead, own] = [leadOf(signature.inputs[first], inputs[first].shape), shape.slice(0, extra)];
			if (!sameShape(lead, own)) {
				const text = `${op}: the leading axes differ: ${shown(signature, inputs, first)} has ${showShape(lead)}, ${shown(signature, inputs, i)} has ${showShape(own)}`;
				throw new ShapeError("shape/leading", text, { op, hint });
			}
		}
		for (let k = 0; k < operand.axes.length; k++) {
			const axis = operand.axes[k];
			const extent = shape[extra + k];
			if (axis[0] >= "0" && axis[0] <= "9") {
				if (extent !== Number(axis))
					throw new ShapeError("shape/extent", `${op}: ${shown(signature, inputs, i)} must have ${axis} on axis ${k}`, { op });
			} else if (axes[axis] === undefined) {
				axes[axis] = extent;
				setBy[axis] = i;
			} else if (axes[axis] !== extent) {
				const text = `${op}: axis ${axis} differs: ${shown(signature, inputs, setBy[axis])} has ${axes[axis]}, ${shown(signature, inputs, i)} has ${extent}`;
				throw new ShapeError("shape/axis", text, { op, hint });
			}
		}
	});
	return axes;
}

/** An operand as error texts name it. */
const shown = ({ inputs: operands }: Signature, inputs: readonly Tensor[], i: number): string =>
	`${operands[i].name}${showShape(inputs[i].shape)}`;

/** The axes of an operand before those that the signature names. */
const leadOf = ({ axes }: Operand, shape: Shape): Shape => shape.slice(0, shape.length - axes.length);
