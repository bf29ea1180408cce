import { runtimeOf } from "./device.ts";
import { HushgradError, ShapeError, ValueError } from "./errors.ts";
import { checkFinite } from "./finite.ts";
import type { Physical } from "./physical.ts";
import { physicalOf } from "./physicalOf.ts";
import type { OperandShape, Records } from "./records.ts";
import type { Runtime } from "./runtime.ts";
import { sameShape, showShape, sizeOf } from "./shape.ts";
import type { Storage } from "./storage.ts";
import type { Rows, StreamedGradient, Streaming } from "./streamed.ts";
import type { TapeNode } from "./tape.ts";
import { insideOf, type Making, nodeOf, Tensor } from "./tensor.ts";

/** How the gradient of one operand comes about. "missing": it exists, but asking for it throws. "none": it is zero. */
export type OperandGradient =
	| {
			readonly saves: readonly string[];
			readonly rule: (given: Given, operand: OperandShape, arrived: Arrived) => Tensor;
			/** Rows of what the rule gives, where they can be computed by themselves. */
			readonly rows?: ((given: Given, operand: OperandShape, rows: Rows) => Tensor) | undefined;
	  }
	| "missing"
	| "none";

/**
 * Hands over the gradient that other uses of an operand have given so far, where there is any: a rule that calls it gives the sum of that
 * and its own.
 */
export type Arrived = () => Tensor | undefined;

/** What a rule reads: the gradient of the first result, those of further traced ones (of `k` it is `dk`), and what it saved by name. */
export type Given<Name extends string = string> = Readonly<Record<Name, Tensor>> & { readonly dy: Tensor };

/** Gradients by the number of the operand. */
export type Joint = readonly (Tensor | undefined)[];

/** One run of an operation, checked, ready to be recorded. */
export interface Operation {
	readonly name: string;
	readonly inputs: readonly Tensor[];
	/** From views of the operands to views of the results; axis 0 of all is the record axis. */
	readonly forward: (inputs: readonly Physical[]) => readonly Physical[];
	/** One for each input; asked for while a gradient is traced. */
	readonly gradients: () => readonly OperandGradient[];
	/**
	 * The gradients of all inputs that have a rule, at once, from what the rules read: used in their place where all that read anything are wanted and no
	 * gradient of them is traced. undefined where the operands do not allow it.
	 */
	readonly together?: ((given: Given, operands: readonly OperandShape[], arrived: readonly Arrived[]) => Joint | undefined) | undefined;
	/** Names of inputs and results, for what the rules save. */
	readonly names?: { readonly inputs: readonly string[]; readonly outputs: readonly string[] };
	/** How many of the results are traced; the first alone when left out. */
	readonly traced?: number | undefined;
	/** Results may be infinite. */
	readonly infinite?: boolean | undefined;
	/** The operands that it overwrites, where it makes no results. */
	readonly overwrites?: readonly Tensor[] | undefined;
	/** The records of the results, where they are not those of the operands: the two ends of `vmap`. */
	readonly resultRecords?: { readonly records: Records | undefined };
}

/**
 * A further handle of the memory of a tensor, owned by the innermost scope. It is traced as `node` says, never by accident:
 * undefined makes it a constant. `ofRecords` makes it one for each of these records; left out, those of t.
 * @throws DisposedError after the release of t.
 */
export function alias(t: Tensor, node: TapeNode | undefined, ofRecords?: Records): Tensor {
	const { storage, strides, offset, records, recordStride } = insideOf(t);
	storage.retain();
	const making = { storage, shape: t.shape, strides, offset, records: ofRecords ?? records, recordStride, node };
	return runtimeOf(t.device).track(new Tensor(t.device, t.dtype, making));
}

/** The tape on which operations on this tensor are recorded now: undefined where no gradient is computed that depends on it. */
export function tapeOf(t: Tensor): TapeNode["tape"] | undefined {
	const tape = nodeOf(t)?.tape;
	return tape?.recording ? tape : undefined;
}

/** The tape of the first of these tensors that is on one. */
function tapeAmong(inputs: readonly Tensor[]): TapeNode["tape"] | undefined {
	for (const t of inputs) {
		const tape = tapeOf(t);
		if (tape !== undefined) return tape;
	}
	return undefined;
}

/** The records that operands have in common. @throws ValueError for a tensor of another program, or of another device. */
export function commonRecords(op: string, inputs: readonly Tensor[]): Records | undefined {
	const { device } = inputs[0];
	const current = runtimeOf(device).records;
	let common: Records | undefined;
	for (const t of inputs) {
		if (t.device !== device) {
			throw new ValueError("op/device", `${op}: operands live on different devices, ${showShape(t.shape)} on another than the first`, {
				op,
				hint: "read the tensor with data() and make it again on the device it is used on",
			});
		}
		const { records } = insideOf(t, op);
		if (records === undefined) continue;
		if (records !== current) {
			throw new ValueError("vmap/kept", `${op}: ${showShape(t.shape)} was kept from a program for one record that has ended`, {
				op,
				hint: "return it from the function that vmap runs, and pass it in again as an argument",
			});
		}
		common = records;
	}
	return common;
}

/**
 * Runs an operation: the one place where operands become views, kernels are recorded, results become tensors, debug
 * output is written and the tape learns how to go back. `definePrimitive` and `defineLinear` call it; by itself it serves
 * operations that are neither. The first `traced` results are traced, the others never. Results belong to the innermost scope.
 * @throws ValueError for operands of several devices (`op/device`) or of a program that has ended (`vmap/kept`); DisposedError
 * for one that was released; what `forward` throws.
 */
export function record(operation: Operation): Tensor[] {
	const { name, inputs, forward, resultRecords } = operation;
	const { device } = inputs[0];
	const runtime = runtimeOf(device);
	runtime.raise();
	const own = commonRecords(name, inputs);
	const count = own?.count ?? 1;
	const records = resultRecords === undefined ? own : resultRecords.records;
	const made = runtime.scopeThrough(() => {
		const views = physicals(name, forward, inputs, count);
		return views.map((p) => ({ dtype: p.dtype, making: makingOf(p, runtime.own(p), records) }));
	});
	const ofResults = made.slice(0, operation.traced ?? 1).map(({ making }) => making);
	const tape = tapeAmong(inputs);
	const traced =
		tape &&
		trace(
			operation,
			tape,
			ofResults.map(({ shape }) => shape),
			records,
		);
	if (traced !== undefined) {
		[traced.node, ...traced.node.others].forEach((node, i) => {
			ofResults[i].node = node;
		});
	}
	const outputs = made.map(({ dtype, making }) => runtime.track(new Tensor(device, dtype, making)));
	traced?.save(outputs);
	report(runtime, operation, operation.overwrites ?? outputs);
	return outputs;
}

/** Runs the kernels; what they refuse names the operation. */
function physicals(op: string, forward: Operation["forward"], inputs: readonly Tensor[], count: number): readonly Physical[] {
	try {
		return forward(inputs.map((t) => physicalOf(t, count)));
	} catch (error) {
		if (error instanceof HushgradError) error.blame(op);
		throw error;
	}
}

/** A view as a tensor without its record axis. */
function makingOf(
	{ shape, strides, offset }: Physical,
	storage: Storage,
	records: Records | undefined,
): Making & { node: TapeNode | undefined } {
	const recordStride = records === undefined || shape[0] === 1 ? 0 : strides[0];
	return { storage, shape: shape.slice(1), strides: strides.slice(1), offset, records, recordStride, node: undefined };
}

/** The node of an operation on traced tensors, and what keeps the tensors that its rules read. */
function trace(
	{ name, inputs, gradients: gradientsOf, together, names }: Operation,
	tape: TapeNode["tape"],
	[shape, ...shapes]: readonly (readonly number[])[],
	records: Records | undefined,
): { readonly node: TapeNode; readonly save: (outputs: readonly Tensor[]) => void } | undefined {
	const gradients = gradientsOf();
	const nodes = inputs.map((t, i) => (gradients[i] === "none" ? undefined : nodeOf(t)));
	if (nodes.every((n) => n === undefined)) return undefined;
	const runtime = runtimeOf(inputs[0].device);
	const operands = inputs.map((t): OperandShape => ({ shape: t.shape, records: insideOf(t).records }));
	const saved: Record<string, Tensor> = {};
	const kept: Tensor[] = [];
	const node = tape.record(
		{
			op: name,
			path: runtime.path,
			shape,
			records,
			inputs: nodes,
			saved: kept,
			backward: ([dy, ...others], isWanted, streaming, arrived) => {
				const dys = { dy, ...Object.fromEntries(others.map((d, i) => [`d${names?.outputs[i + 1]}`, d])) };
				const takes = gradients.map(
					(_, i): Arrived =>
						() =>
							arrived(i),
				);
				const labelOf = (i: number): string => names?.inputs[i] ?? String(i);
				if (together !== undefined && !tape.recording && gradients.every((g, i) => isFree(g) || isWanted(i))) {
					const all = together({ ...saved, ...dys }, operands, takes);
					if (all !== undefined) return all.map((g, i) => g && checked(name, labelOf(i), g, operands[i].shape));
				}
				return gradients.map((g, i) => {
					if (!isWanted(i) || g === "none") return undefined;
					if (g === "missing") throw missing(name);
					const given: Record<string, Tensor> & { dy: Tensor } = { ...dys };
					for (const key of g.saves) if (!(key in dys)) given[key] = saved[key];
					const [operand, leaf] = [operands[i], nodes[i]];
					if (g.rows !== undefined && leaf !== undefined && isStreamed(streaming, leaf, given, operand)) {
						return streamed(name, labelOf(i), { ...g, rows: g.rows }, given, operand, runtime.path);
					}
					return checked(name, labelOf(i), g.rule(given, operand, takes[i]), operand.shape);
				});
			},
		},
		shapes,
	);
	return {
		node,
		save: (outputs) => {
			gradients.forEach((g, i) => {
				if (nodes[i] === undefined || typeof g !== "object") return;
				for (const key of g.saves) {
					if (Object.hasOwn(saved, key)) continue;
					const source = outputs[names?.outputs.indexOf(key) ?? -1] ?? inputs[names?.inputs.indexOf(key) ?? -1];
					saved[key] = runtime.hold(alias(source, nodeOf(source)));
					kept.push(saved[key]);
				}
			});
		},
	};
}

/** Whether a gradient costs nothing: there is none, or it follows from that of the result alone. */
const isFree = (g: OperandGradient): boolean => typeof g === "string" || g.saves.length === 0;

/** The error of a gradient that is not built. */
export const missing = (op: string): ValueError =>
	new ValueError("grad/order", `${op}: its gradient has no gradient of its own`, {
		op,
		hint: "compose the function of element-wise operations, reductions and products for second derivatives",
	});

/** Whether the gradient of this operand is to be computed later. Never where records meet in it: it is summed over them at once. */
function isStreamed(streaming: Streaming | undefined, leaf: TapeNode, given: Given, { shape, records }: OperandShape): boolean {
	if (!streaming?.leaves.has(leaf)) return false;
	const kept = Object.values(given).filter((t) => nodeOf(t) !== leaf);
	if (records === undefined && kept.some((t) => insideOf(t).records !== undefined)) return false;
	const count = records?.count ?? 1;
	return streaming.choose(4 * count * sizeOf(shape), count * kept.reduce((sum, t) => sum + t.bytes, 0));
}

/** The gradient of an operand as what it follows from. */
function streamed(
	op: string,
	label: string,
	{ rows }: { readonly rows: (given: Given, operand: OperandShape, rows: Rows) => Tensor },
	given: Given,
	operand: OperandShape,
	path: string,
): StreamedGradient {
	const kept = Object.fromEntries(Object.entries(given).map(([key, t]) => [key, alias(t, undefined)]));
	const ofRows = (own: Readonly<Record<string, Tensor>>, run: Rows): Tensor =>
		checked(op, label, rows(own as Given, operand, run), operand.shape.with(0, run.to - run.from));
	return { shape: operand.shape, shares: [{ given: kept, path, rows: ofRows }] };
}

function checked(op: string, operand: string, g: Tensor, shape: readonly number[]): Tensor {
	const { where, debug } = runtimeOf(g.device);
	if (debug.nan) checkFinite(g, `the gradient of ${op} by ${operand}${where}`);
	if (sameShape(g.shape, shape)) return g;
	throw new ShapeError("grad/shape", `${op}: gradient of ${operand} is ${showShape(g.shape)}, expected ${showShape(shape)}`, { op });
}

/** What debugging asks of an operation that was run: a check of its results, and a line about it. */
export function report(
	runtime: Runtime,
	{ name, inputs, infinite }: Pick<Operation, "name" | "inputs" | "infinite">,
	outputs: readonly Tensor[],
): void {
	const { debug, where, pool } = runtime;
	if (debug.nan) for (const out of outputs) checkFinite(out, `the result of ${name}${where}`, { allowInfinity: infinite });
	if (debug.level < 3) return;
	const show = (list: readonly Tensor[]): string => list.map((t) => `${t.dtype}${showShape(t.shape)}`).join(", ");
	const records = [...inputs, ...outputs].map((t) => insideOf(t).records).find((r) => r !== undefined);
	const each = records === undefined ? "" : ` of each of ${records.count} records`;
	debug.log(`${name}${where}: ${show(inputs)} -> ${show(outputs)}${each}; live ${pool.report().liveBytes} bytes`);
}
