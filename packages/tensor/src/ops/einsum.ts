import { ShapeError, ValueError } from "../errors.ts";
import { expects } from "../expects.ts";
import { named } from "../named.ts";
import { showShape } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { diagonal as diagonalOf } from "./diagonal.ts";
import { expand, sum } from "./expand.ts";
import { matmul } from "./matmul.ts";
import { permute, reshape, unsqueeze } from "./view.ts";

/** A tensor whose axes have names. */
interface Labelled {
	readonly x: Tensor;
	readonly axes: readonly string[];
}

interface Equation {
	readonly operands: readonly (readonly string[])[];
	readonly result: readonly string[];
}

/** Names of the axes that `...` stands for, counted from the last. */
const ellipsis = (rank: number): string[] => Array.from({ length: rank }, (_, i) => `...${rank - i}`);

function parse(equation: string, operands: readonly Tensor[]): Equation {
	const fail = (why: string): never => {
		throw new ValueError("einsum/equation", `einsum: "${equation}": ${why}`, { op: "einsum" });
	};
	const [left, right, ...rest] = equation.replace(/\s/g, "").split("->");
	if (rest.length > 0) fail("more than one ->");
	const terms = left.split(",");
	if (terms.length !== operands.length) fail(`${terms.length} terms for ${operands.length} operands`);
	const named = terms.map((term, i) => {
		if (!/^[A-Za-z]*(\.\.\.)?[A-Za-z]*$/.test(term)) fail(`${term} is no list of letters`);
		const letters = term.replace("...", "").length;
		const dots = operands[i].rank - letters;
		if (dots < 0 || (dots > 0 && !term.includes("..."))) {
			throw new ShapeError("einsum/rank", `einsum: ${term} does not fit ${showShape(operands[i].shape)}`, { op: "einsum" });
		}
		return expandDots(term, dots);
	});
	const all = named.flat();
	const most = Math.max(0, ...all.filter((a) => a.startsWith("...")).map((a) => Number(a.slice(3))));
	const once = [...new Set(all)].filter((a) => !a.startsWith(".") && all.filter((b) => b === a).length === 1).sort();
	const result = right === undefined ? [...ellipsis(most), ...once] : expandDots(right, most);
	const unknown = result.find((a) => !all.includes(a));
	if (unknown !== undefined) fail(`${unknown} of the result names no axis`);
	if (new Set(result).size !== result.length) fail("the result names an axis twice");
	return { operands: named, result };
}

function expandDots(term: string, rank: number): string[] {
	const [before, after] = term.split("...");
	return after === undefined ? [...before] : [...before, ...ellipsis(rank), ...after];
}

/** Keeps the diagonal of axes with one name. */
function diagonal({ x, axes }: Labelled): Labelled {
	const twice = axes.findIndex((a, i) => axes.indexOf(a) !== i);
	if (twice < 0) return { x, axes };
	const first = axes.indexOf(axes[twice]);
	const n = x.shape[first];
	if (x.shape[twice] !== n) {
		throw new ShapeError("einsum/axis", `einsum: axis ${axes[twice]} is ${n} and ${x.shape[twice]}`, { op: "einsum" });
	}
	const rest = axes.filter((_, i) => i !== first && i !== twice);
	return diagonal({ x: diagonalOf(x, { axis1: first, axis2: twice }), axes: [...rest, axes[twice]] });
}

/** Sums over the axes that nobody asks for any more. */
function drop({ x, axes }: Labelled, needed: ReadonlySet<string>): Labelled {
	const gone = axes.map((_, i) => i).filter((i) => !needed.has(axes[i]));
	return gone.length === 0 ? { x, axes } : { x: sum(x, gone), axes: axes.filter((a) => needed.has(a)) };
}

/** Extents of the named axes; an axis of 1 repeats to the other's extent. */
function extents(op: string, parts: readonly Labelled[]): Map<string, number> {
	const sizes = new Map<string, number>();
	for (const { x, axes } of parts) {
		axes.forEach((a, i) => {
			const [known, own] = [sizes.get(a) ?? 1, x.shape[i]];
			if (known !== own && known !== 1 && own !== 1) {
				throw new ShapeError("einsum/axis", `${op}: axis ${a} is ${known} and ${own}`, { op });
			}
			sizes.set(a, known === 1 ? own : known);
		});
	}
	return sizes;
}

/** x with its axes in the order asked for, repeated to `sizes`; axes it lacks come in with extent 1. */
function arrange({ x, axes }: Labelled, order: readonly string[], sizes: ReadonlyMap<string, number>): Tensor {
	const own = order.filter((a) => axes.includes(a));
	let y = permute(
		x,
		own.map((a) => axes.indexOf(a)),
	);
	order.forEach((a, i) => {
		if (!axes.includes(a)) y = unsqueeze(y, i);
	});
	const shape = order.map((a, i) => (axes.includes(a) ? (sizes.get(a) as number) : y.shape[i]));
	return y.shape.every((d, i) => d === shape[i]) ? y : expand(y, shape);
}

/** One matrix product: axes of both that are kept are the batch, axes of both that are not are summed. */
function contract(a: Labelled, b: Labelled, needed: ReadonlySet<string>): Labelled {
	const left = drop(a, new Set([...needed, ...b.axes]));
	const right = drop(b, new Set([...needed, ...a.axes]));
	const sizes = extents("einsum", [left, right]);
	const shared = left.axes.filter((n) => right.axes.includes(n));
	const batch = shared.filter((n) => needed.has(n));
	const inner = shared.filter((n) => !needed.has(n));
	const rows = left.axes.filter((n) => !shared.includes(n));
	const columns = right.axes.filter((n) => !shared.includes(n));
	const count = (names: readonly string[]): number => names.reduce((n, name) => n * (sizes.get(name) as number), 1);
	const lead = batch.map((n) => sizes.get(n) as number);
	const p = reshape(arrange(left, [...batch, ...rows, ...inner], sizes), [...lead, count(rows), count(inner)]);
	const q = reshape(arrange(right, [...batch, ...inner, ...columns], sizes), [...lead, count(inner), count(columns)]);
	const axes = [...batch, ...rows, ...columns];
	return {
		x: reshape(
			matmul(p, q),
			axes.map((n) => sizes.get(n) as number),
		),
		axes,
	};
}

/**
 * Sums of products of tensors after Einstein: `einsum("bij,bjk->bik", a, b)`. Letters name axes; an axis that the result does
 * not name is summed over; one letter twice in a term takes the diagonal; `...` stands for any axes, which broadcast, and so do
 * axes of extent 1. Without `->`, the result has `...` and the letters that occur once, in alphabetical order (capitals first).
 * Works from left to right, as products of matrices, in the types that `matmul` takes; one operand alone may have any that `sum` takes.
 * @throws ValueError for an equation that cannot be read, that has another number of terms, or whose result names an unknown
 * axis or one twice; or without an operand.
 * @throws ShapeError when a term does not fit the rank of its operand, or one letter has two extents.
 * @throws DTypeError for several operands of other types.
 */
export const einsum = named("einsum", (equation: string, ...operands: Tensor[]): Tensor => {
	expects("einsum", { equation, operands }, { equation: "text", operands: "tensors" });
	if (operands.length === 0) throw new ValueError("einsum/operands", "einsum: needs at least one operand", { op: "einsum" });
	const { operands: named, result } = parse(equation, operands);
	return operands[0].device.scope(() => {
		const parts = operands.map((x, i) => diagonal({ x, axes: named[i] }));
		extents("einsum", parts);
		let all = parts[0];
		parts.slice(1).forEach((part, i) => {
			const later = parts.slice(i + 2).flatMap((q) => q.axes);
			all = contract(all, part, new Set([...result, ...later]));
		});
		const last = drop(all, new Set(result));
		return permute(
			last.x,
			result.map((a) => last.axes.indexOf(a)),
		);
	});
});
