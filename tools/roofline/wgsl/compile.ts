import { bodyOf } from "./body.ts";
import type { Instructions } from "./instructions.ts";
import { parse } from "./syntax.ts";
import { bytesOf } from "./types.ts";

/** A place in a kernel that reads or writes memory. */
export interface Site {
	/** Number of the binding; -1 of memory that a workgroup shares. */
	readonly binding: number;
	/** "shared" reads or writes memory that a workgroup shares. */
	readonly access: "read" | "write" | "shared";
	/** Bytes at once. */
	readonly bytes: number;
}

/** What one invocation does. */
export interface Trace {
	/** How often each block ran. */
	readonly blocks: Float64Array;
	/** Branches and turns of loops so far: accesses under one number do not wait for each other. */
	turn: number;
	/** Called for each access, with the number of the element, in elements of the site's size. */
	readonly touch: (site: number, element: number) => void;
}

/** A kernel that can be run for its cost: with its parameters, but on data that is not there: everything that it reads is 0. */
export interface CostProgram {
	/** Names and types of the parameter block, in order. */
	readonly params: readonly { readonly name: string; readonly type: string }[];
	readonly workgroup: readonly [number, number, number];
	/** Instructions of one run of each block. */
	readonly blocks: readonly Instructions[];
	readonly sites: readonly Site[];
	/** Runs one invocation. */
	run(trace: Trace, params: Readonly<Partial<Record<string, number>>>, place: Place): void;
}

/** Where an invocation is. */
export interface Place {
	readonly group: readonly [number, number, number];
	readonly groups: readonly [number, number, number];
	readonly local: readonly [number, number, number];
	readonly lane: number;
	/** Invocations of a subgroup. */
	readonly width: number;
}

type Run = (trace: Trace, params: Readonly<Partial<Record<string, number>>>, place: Place) => void;

/** Compiles WGSL. @throws Error for what of WGSL is not known here. */
export function compile(code: string): CostProgram {
	const program = parse(code);
	const entry = [...program.functions.values()].find((f) => f.workgroup !== undefined);
	if (entry === undefined) throw new Error("WGSL: no entry point");
	const { source, blocks, sites } = bodyOf(program, entry);
	const uniform = program.globals.find((g) => g.space === "uniform");
	const fields = uniform?.type === undefined ? [] : (program.structs.get(uniform.type.name) ?? []);
	const bindings = new Map(program.globals.filter((g) => g.space === "storage" || g.space === "workgroup").map((g) => [g.name, g]));
	const [x, y = 1, z = 1] = entry.workgroup ?? [1];
	return {
		params: fields.map(({ name, type }) => ({ name, type: type.name })),
		workgroup: [x, y, z],
		blocks,
		sites: sites.map(({ buffer, access }) => {
			const global = bindings.get(buffer);
			return { binding: global?.binding ?? -1, access, bytes: global?.type === undefined ? 4 : bytesOf(global.type.of[0]) };
		}),
		run: new Function("trace", "P", "place", source) as Run,
	};
}
