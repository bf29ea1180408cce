import { gridOf } from "./gpu/binding.ts";
import type { Binding, Dispatch } from "./gpu/commands.ts";
import { MAX_PARAM_BYTES } from "./gpu/kernel.ts";
import type { PipelineCache } from "./gpu/pipelines.ts";
import type { Plan } from "./gpu/plan.ts";
import { floatRun, kernelsOf } from "./ops/elementwise.kernel.ts";
import { collapse, isContiguous, type Shape, sameShape, sizeOf } from "./shape.ts";
import type { Storage } from "./storage.ts";

/** What an element-wise kernel computes: WGSL of its operands and of its numbers, as `Row` has it. */
export interface Formula {
	readonly name: string;
	readonly operands: readonly string[];
	readonly f: string;
	readonly attrs: readonly string[];
}

/**
 * What a dispatch says of itself that computes f32 from f32, each element from those in its place. Its bindings are the operands and,
 * last, the result, which is new and without gaps.
 */
export interface Elementwise {
	readonly formula: Formula;
	readonly numbers: readonly number[];
	readonly extents: Shape;
	/** Of each operand, along the extents. */
	readonly strides: readonly Shape[];
}

/** A formula and what it takes: leaves by their number, results of earlier steps by −1 − theirs. */
interface Step {
	readonly formula: Formula;
	readonly from: readonly number[];
	readonly numbers: readonly number[];
}

/** Memory that a group reads. */
interface Leaf {
	readonly binding: Binding;
	readonly strides: Shape;
}

/** Dispatches that may be one. */
interface Group {
	/** Their places among the commands; the last is that of the group. */
	readonly places: readonly number[];
	readonly steps: readonly Step[];
	readonly leaves: readonly Leaf[];
	readonly extents: Shape;
}

/** Steps of a kernel, at most: what it takes to compile one grows with them. */
const MOST_STEPS = 12;
/** Operands of a kernel, at most: with the result, what every device can bind. */
const MOST_LEAVES = 7;
/** Axes of a walk, at most. */
const MOST_AXES = 4;
/** Kernels of one device that are made of several formulas, at most. */
const MOST_KERNELS = 256;

/**
 * Makes one kernel of element-wise dispatches of which each reads what the one before has computed, where nobody else reads it: no owner,
 * no other command. What lies between them then needs no memory, and each element has the same bits as without: no driver may
 * contract the operations of two formulas into one.
 */
export class Fusion {
	readonly #pipelines: PipelineCache;
	readonly #plan: Plan;
	readonly #kernels = new Map<string, ReturnType<typeof kernelsOf>>();

	constructor(pipelines: PipelineCache, plan: Plan) {
		this.#pipelines = pipelines;
		this.#plan = plan;
	}

	/** The commands with one dispatch in place of the last of several, and nothing in place of the others. `first` is the number of the first. */
	fuse<C extends object>(commands: readonly (C | Dispatch)[], first: number): readonly (C | Dispatch | undefined)[] {
		const groups = groupsOf(commands, first);
		if (groups.length === 0) return commands;
		const fused: (C | Dispatch | undefined)[] = [...commands];
		for (const group of groups) {
			const at = group.places[group.places.length - 1];
			const dispatch = this.#dispatchOf(group, commands[at] as Dispatch);
			if (dispatch === undefined) continue;
			for (const place of group.places) fused[place] = undefined;
			fused[at] = dispatch;
			for (const { storage } of dispatch.bindings) storage.lastUse = Math.max(storage.lastUse, first + at);
		}
		return fused;
	}

	/** undefined where there are too many kernels already. */
	#dispatchOf({ steps, leaves, extents }: Group, last: Dispatch): Dispatch | undefined {
		const key = steps.map(({ formula, from }) => `${formula.f}(${formula.operands.join()}=${from.join()})`).join(";");
		let kernels = this.#kernels.get(key);
		if (kernels === undefined) {
			if (this.#kernels.size >= MOST_KERNELS) return undefined;
			kernels = kernelsOf(...composed(steps, leaves.length));
			this.#kernels.set(key, kernels);
		}
		const walk = { extents, strides: leaves.map((l) => l.strides) };
		const numbers = steps.flatMap((s) => s.numbers);
		const { kernel, params, invocations } = floatRun(
			this.#plan,
			kernels,
			walk,
			leaves.map((l) => l.binding.base),
			numbers,
		);
		const pipeline = this.#pipelines.get(kernel);
		const bindings = [...leaves.map((l) => l.binding), last.bindings[last.bindings.length - 1]];
		const work = last.work && { ...last.work, bytes: 4 * sizeOf(extents) * bindings.length };
		return { pipeline, bindings, params, grid: gridOf(invocations, pipeline), work };
	}
}

/** Groups of two dispatches or more. */
function groupsOf(commands: readonly object[], first: number): Group[] {
	const open = new Map<Storage, Group>();
	const written = new Map<Storage, number>();
	for (let at = 0; at < commands.length; at++) {
		const command = commands[at];
		if (!("pipeline" in command)) continue;
		const { bindings, pipeline, elementwise } = command as Dispatch;
		if (elementwise !== undefined) {
			const group = groupAt(at, first, elementwise, bindings, open, written);
			const { storage } = bindings[bindings.length - 1];
			// Only what another command reads, and nobody owns, may do without memory.
			const isPassing = !storage.isOwned && storage.buffer === undefined && storage.lastUse > first + at;
			if (isPassing || group.places.length > 1) open.set(storage, group);
		}
		for (let i = 0; i < bindings.length; i++) if (pipeline.layoutKey[i] === "w") written.set(bindings[i].storage, at);
	}
	return [...open.values()].filter((g) => g.places.length > 1);
}

/** A dispatch, with those of the open groups that it can take in; they are open no more. */
function groupAt(
	at: number,
	first: number,
	elementwise: Elementwise,
	bindings: readonly Binding[],
	open: Map<Storage, Group>,
	written: ReadonlyMap<Storage, number>,
): Group {
	const { formula, numbers, extents, strides } = elementwise;
	let group: Group = { places: [at], steps: [], leaves: [], extents };
	/** Of each operand what its step has it from, or undefined where it is a leaf. */
	const from = new Array<number | undefined>(strides.length);
	for (let o = 0; o < strides.length; o++) {
		const { storage } = bindings[o];
		const source = open.get(storage);
		if (source === undefined) continue;
		if (!isPassedOn(storage, source, elementwise, bindings) || !isReadable(source, storage, at, first, written)) continue;
		const joined = joinedOf(group, source, strides.length - 1, numbers.length);
		if (joined === undefined) continue;
		group = joined;
		for (let i = 0; i < strides.length; i++) if (bindings[i].storage === storage) from[i] = -joined.steps.length;
		open.delete(storage);
	}
	const leaves = [...group.leaves];
	const isWalked = sameShape(extents, group.extents);
	for (let o = 0; o < strides.length; o++) {
		const own = isWalked ? strides[o] : along(extents, strides[o], group.extents);
		from[o] ??= leafNumber(leaves, bindings[o], own);
	}
	const steps = [...group.steps, { formula, from: from as number[], numbers }];
	// What has kept two axes apart in the walk of this dispatch is still a leaf.
	if (isWalked) return { places: group.places, steps, leaves, extents };
	return { ...collapsed(group.extents, leaves), places: group.places, steps };
}

/** Whether all that uses the result of a group is the operands of a dispatch, which read it in order. */
function isPassedOn(storage: Storage, source: Group, { extents, strides }: Elementwise, bindings: readonly Binding[]): boolean {
	if (storage.isOwned || sizeOf(extents) !== sizeOf(source.extents)) return false;
	let reads = 0;
	for (let o = 0; o < strides.length; o++) {
		const { storage: read, base, offset } = bindings[o];
		if (read !== storage) continue;
		if (base !== 0 || offset !== 0 || !isContiguous(extents, strides[o])) return false;
		reads++;
	}
	return storage.uses === 1 + reads;
}

/** Whether what a group reads is still there, unchanged, when the command `at` runs, and takes no more memory until then than its result. */
function isReadable({ places, leaves }: Group, result: Storage, at: number, first: number, written: ReadonlyMap<Storage, number>): boolean {
	const last = places[places.length - 1];
	const staying = new Set<Storage>();
	for (const { binding } of leaves) {
		const { storage } = binding;
		if ((written.get(storage) ?? -1) > last) return false;
		if (!storage.isOwned && storage.lastUse < first + at) staying.add(storage);
	}
	let bytes = 0;
	for (const { size } of staying) bytes += size;
	return bytes <= result.size;
}

/** Both groups as one, with room for a step of so many further leaves and numbers; undefined where that is too much. */
function joinedOf(group: Group, source: Group, further: number, numbers: number): Group | undefined {
	if (group.steps.length + source.steps.length >= MOST_STEPS) return undefined;
	const extents = sameShape(group.extents, source.extents) ? group.extents : refined(group.extents, source.extents);
	if (extents === undefined || extents.length > MOST_AXES) return undefined;
	const isFirst = group.steps.length === 0 && extents === group.extents;
	const { steps, leaves } = isFirst ? source : merged(group, source, extents);
	const count = leaves.length + further;
	let params = 3 + MOST_AXES - 1 + (MOST_AXES + 1) * (count + 1) + numbers;
	for (const s of steps) params += s.numbers.length;
	const fits = count <= MOST_LEAVES && 4 * params <= MAX_PARAM_BYTES;
	return fits ? { places: [...source.places, ...group.places], steps, leaves, extents } : undefined;
}

/** The steps of one group, those of another behind them, and the leaves of both, along extents that either can be walked by. */
function merged(group: Group, source: Group, extents: Shape): Pick<Group, "steps" | "leaves"> {
	const leaves: Leaf[] = [];
	const steps: Step[] = [];
	for (const g of [group, source]) {
		const shift = steps.length;
		const numbers = g.leaves.map((l) => leafNumber(leaves, l.binding, along(g.extents, l.strides, extents)));
		for (const s of g.steps) steps.push({ ...s, from: s.from.map((n) => (n < 0 ? n - shift : numbers[n])) });
	}
	return { steps, leaves };
}

/** The number of a leaf, which is put in where it is not there. */
function leafNumber(leaves: Leaf[], binding: Binding, strides: Shape): number {
	for (let i = 0; i < leaves.length; i++) {
		const known = leaves[i];
		const { storage, base, offset } = known.binding;
		if (storage === binding.storage && base === binding.base && offset === binding.offset && sameShape(known.strides, strides)) return i;
	}
	return leaves.push({ binding, strides }) - 1;
}

/** Extents by which both shapes of one size can be walked: products of neighbours give either. */
function refined(a: Shape, b: Shape): number[] | undefined {
	const extents: number[] = [];
	let [i, j] = [a.length - 1, b.length - 1];
	let [x, y] = [a[i] ?? 1, b[j] ?? 1];
	while (i >= 0 && j >= 0) {
		const least = Math.min(x, y);
		if (Math.max(x, y) % least !== 0) return undefined;
		extents.unshift(least);
		[x, y] = [x / least, y / least];
		if (x === 1) x = a[--i] ?? 1;
		if (y === 1) y = b[--j] ?? 1;
	}
	return extents;
}

/** Strides along finer extents. */
function along(extents: Shape, strides: Shape, finer: Shape): number[] {
	const out = new Array<number>(finer.length);
	let axis = extents.length - 1;
	let inside = 1;
	for (let i = finer.length - 1; i >= 0; i--) {
		out[i] = strides[axis] * inside;
		inside *= finer[i];
		if (inside === extents[axis]) [axis, inside] = [axis - 1, 1];
	}
	return out;
}

/** The walk along as few axes as its leaves allow. */
function collapsed(extents: Shape, leaves: readonly Leaf[]): Pick<Group, "extents" | "leaves"> {
	const { shape, strides } = collapse(
		extents,
		leaves.map((l) => l.strides),
	);
	return { extents: shape, leaves: leaves.map(({ binding }, i) => ({ binding, strides: strides[i] })) };
}

/** What `kernelsOf` makes one kernel of the steps of. */
function composed(steps: readonly Step[], leaves: number): Parameters<typeof kernelsOf> {
	const operands = Array.from({ length: leaves }, (_, i) => `leaf${i}`);
	const attrs: Record<string, number> = {};
	const functions = steps.map(({ formula, numbers }, k) => {
		formula.attrs.forEach((a, i) => {
			attrs[`of${k}_${a}`] = numbers[i];
		});
		const f = formula.f.replace(/\bp\.(\w+)/g, `p.of${k}_$1`);
		return `fn step${k}(${formula.operands.map((o) => `${o}: f32`).join(", ")}) -> f32 { return ${f}; }`;
	});
	const lines = steps.map(({ from }, k) => {
		const value = `step${k}(${from.map((n) => (n < 0 ? `v${-1 - n}` : `leaf${n}`)).join(", ")})`;
		return k === steps.length - 1 ? `return ${value};` : `let v${k} = settled(${value});`;
	});
	const text = `${functions.join("\n")}
fn settled(v: f32) -> f32 { return bitcast<f32>(bitcast<u32>(v) ^ (p.out_buf_base >> 31u)); }
fn fused(${operands.map((o) => `${o}: f32`).join(", ")}) -> f32 {
  ${lines.join("\n  ")}
}
`;
	const names = [...new Set(steps.map((s) => s.formula.name))];
	return [`fused/${names.join("+")}`, operands, { f: `fused(${operands.join(", ")})`, attrs }, text];
}
