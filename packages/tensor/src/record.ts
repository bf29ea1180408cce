import { runtimeOf } from "./device.ts";
import { ShapeError, ValueError } from "./errors.ts";
import { checkFinite } from "./finite.ts";
import type { Physical } from "./physical.ts";
import { physicalOf } from "./physicalOf.ts";
import type { OperandShape, Records } from "./records.ts";
import type { Runtime } from "./runtime.ts";
import { sameShape, showShape } from "./shape.ts";
import type { TapeNode } from "./tape.ts";
import { insideOf, nodeOf, Tensor } from "./tensor.ts";

/** How the gradient of one operand comes about. "missing": it exists, but asking for it throws. "none": it is zero. */
export type OperandGradient =
	| { readonly saves: readonly string[]; readonly rule: (given: Given, operand: OperandShape) => Tensor }
	| "missing"
	| "none";

/** What a rule reads: the gradient of the first result, and what it saved by name. */
export type Given = Readonly<Record<string, Tensor>> & { readonly dy: Tensor };

/** One run of an operation, checked, ready to be recorded. */
export interface Operation {
	readonly name: string;
	readonly inputs: readonly Tensor[];
	/** From views of the operands to views of the results; axis 0 of all is the record axis. */
	readonly forward: (inputs: readonly Physical[]) => readonly Physical[];
	/** One for each input. */
	readonly gradients: readonly OperandGradient[];
	/** Names of inputs and results, for what the rules save. */
	readonly names?: { readonly inputs: readonly string[]; readonly outputs: readonly string[] };
	/** Results may be infinite. */
	readonly infinite?: boolean;
	/** The operands that it overwrites, where it makes no results. */
	readonly overwrites?: readonly Tensor[];
	/** The records of the results, where they are not those of the operands: the two ends of `vmap`. */
	readonly resultRecords?: { readonly records: Records | undefined };
}

/** A further handle of a tensor, owned by the current scope. It is traced as `node` says, never by accident. */
export function alias(t: Tensor, node: TapeNode | undefined, changes: Partial<Pick<OperandShape, "records">> = {}): Tensor {
	const inside = insideOf(t);
	inside.storage.retain();
	return runtimeOf(t.device).track(new Tensor(t.device, t.dtype, { ...inside, ...changes, shape: t.shape, node }));
}

/** The tape on which operations on this tensor are recorded now. */
export function tapeOf(t: Tensor): TapeNode["tape"] | undefined {
	const tape = nodeOf(t)?.tape;
	return tape?.recording ? tape : undefined;
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
		const { records } = insideOf(t);
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
 * output is written and the tape learns how to go back.
 */
export function record(operation: Operation): Tensor[] {
	const { name, inputs, forward, resultRecords } = operation;
	const { device } = inputs[0];
	const runtime = runtimeOf(device);
	const own = commonRecords(name, inputs);
	const count = own?.count ?? 1;
	const records = resultRecords === undefined ? own : resultRecords.records;
	const results = runtime.scope(() =>
		forward(inputs.map((t) => physicalOf(t, count))).map((p) => {
			const [extent, ...shape] = p.shape;
			const [stride, ...strides] = p.strides;
			const recordStride = records === undefined || extent === 1 ? 0 : stride;
			return { dtype: p.dtype, making: { storage: runtime.own(p), shape, strides, offset: p.offset, records, recordStride } };
		}),
	);
	const { node, save } = trace(operation, results[0]?.making.shape, records);
	const outputs = results.map(({ dtype, making }, i) =>
		runtime.track(new Tensor(device, dtype, { ...making, node: i === 0 ? node : undefined })),
	);
	save(outputs);
	report(runtime, operation, operation.overwrites ?? outputs);
	return outputs;
}

const UNTRACED = { node: undefined, save: () => {} };

function trace(
	{ name, inputs, gradients, names }: Operation,
	shape: readonly number[],
	records: Records | undefined,
): { readonly node: TapeNode | undefined; readonly save: (outputs: readonly Tensor[]) => void } {
	const tape = inputs.map(tapeOf).find((t) => t !== undefined);
	const wanted = inputs.map((t, i) => nodeOf(t) !== undefined && gradients[i] !== "none");
	if (tape === undefined || !wanted.includes(true)) return UNTRACED;
	const runtime = runtimeOf(inputs[0].device);
	const operands = inputs.map((t): OperandShape => ({ shape: t.shape, records: insideOf(t).records }));
	const saved: Record<string, Tensor> = {};
	const kept: Tensor[] = [];
	const node = tape.record({
		op: name,
		path: runtime.path,
		shape,
		records,
		inputs: inputs.map((t, i) => (wanted[i] ? nodeOf(t) : undefined)),
		saved: kept,
		backward: (dy, isWanted) =>
			gradients.map((g, i) => {
				if (!isWanted(i) || g === "none") return undefined;
				if (g === "missing") throw missing(name);
				const given = Object.fromEntries(g.saves.map((key) => [key, saved[key]]));
				return checked(name, names?.inputs[i] ?? String(i), g.rule({ ...given, dy }, operands[i]), operands[i]);
			}),
	});
	const save = (outputs: readonly Tensor[]): void => {
		for (const key of new Set(gradients.flatMap((g, i) => (wanted[i] && typeof g === "object" ? g.saves : [])))) {
			const source = outputs[names?.outputs.indexOf(key) ?? -1] ?? inputs[names?.inputs.indexOf(key) ?? -1];
			saved[key] = runtime.keep(alias(source, nodeOf(source)));
			kept.push(saved[key]);
		}
	};
	return { node, save };
}

/** The error of a gradient that is not built. */
export const missing = (op: string): ValueError =>
	new ValueError("grad/order", `${op}: its gradient has no gradient of its own`, {
		op,
		hint: "compose the function of element-wise operations, reductions and products for second derivatives",
	});

function checked(op: string, operand: string, g: Tensor, { shape }: OperandShape): Tensor {
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
