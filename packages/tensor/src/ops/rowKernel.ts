import type { BufferSpec, KernelSpec, ParamType, SharedSpec } from "../gpu/kernel.ts";
import { wgsl } from "../gpu/wgsl.ts";
import type { Runtime } from "../runtime.ts";

/**
 * How a kernel that works on rows shares them out: one invocation a row where `lanes` is false (plan "cpu"), else so many, which
 * are a workgroup (plan "gpu"). What a row gives depends on its length alone, not on how many there are.
 */
export type RowVariant = { readonly lanes: false | 32 | 256 };

/** The invocations for rows of so many values. */
export const rowsOf = (runtime: Runtime, length: number): RowVariant => ({
	lanes: runtime.device.plan === "cpu" ? false : length > 256 ? 256 : 32,
});

/** The invocations of so many rows. */
export const laneCount = (rows: number, { lanes }: RowVariant): number => rows * (lanes || 1);

/** How what the invocations of a row found becomes one value: always in the same order, by halves. */
export interface Join {
	readonly type: SharedSpec["type"];
	/** WGSL of two values joined. */
	readonly of: (a: string, b: string) => string;
}

/** Joins sums that carry what their rounding left over (`added` of the prelude). */
export const SUM: Join = { type: "vec2f", of: (a, b) => `added(added(${a}, ${b}.x, p.rows >> 31u), -${b}.y, p.rows >> 31u)` };
export const MAX: Join = { type: "f32", of: (a, b) => `nanMax(${a}, ${b})` };

/** A kernel on rows. It takes `rows`, their number, beside its own numbers. */
export interface RowKernel<P extends string, B extends string> {
	readonly params: Readonly<Record<P, ParamType>>;
	readonly buffers: Readonly<Record<B, BufferSpec>>;
	/** Functions `NAME(own, value)` that join the values of all invocations of a row, which all have to call it. */
	readonly joins?: Readonly<Record<string, Join>>;
	readonly helpers?: string;
	/**
	 * WGSL for the row number `row`, as `own` of its LANES invocations: `for (var i = own; i < p.N; i += LANES)` shares a row out. An
	 * element that an invocation wrote none but it may read.
	 */
	readonly body: string;
}

/** WGSL of a function that joins; all invocations have read the result when it returns. */
function joinCode(name: string, { type, of }: Join, lanes: false | number): string {
	if (lanes === false) return `fn ${name}(own: u32, v: ${type}) -> ${type} { return v; }`;
	const part = `${name}_parts`;
	return wgsl`fn ${name}(own: u32, v: ${type}) -> ${type} {
  ${part}[own] = v;
  for (var half = ${lanes / 2}u; half > 0u; half >>= 1u) {
    workgroupBarrier();
    if (own < half) { ${part}[own] = ${of(`${part}[own]`, `${part}[own + half]`)}; }
  }
  workgroupBarrier();
  let result = ${part}[0];
  workgroupBarrier();
  return result;
}`;
}

/** The kernel of one variant. Of a workgroup it takes 32 or 256 invocations, and up to 2 KiB of memory a join. */
export function rowKernel<P extends string, B extends string>(kernel: RowKernel<P, B>, { lanes }: RowVariant): KernelSpec<P | "rows", B> {
	const { params, buffers, joins = {}, helpers = "", body } = kernel;
	const place = lanes === false ? "let row = index; let own = 0u;" : "let row = wid.y * nwg.x + wid.x; let own = lane;";
	const shared = (length: number) =>
		Object.fromEntries(Object.entries(joins).map(([name, { type }]) => [`${name}_parts`, { type, length }]));
	return {
		params: { rows: "u32", ...params } as Readonly<Record<P | "rows", ParamType>>,
		buffers,
		workgroup: lanes || 16,
		shared: lanes === false ? undefined : shared(lanes),
		helpers: [`const LANES = ${lanes || 1}u;`, helpers, ...Object.entries(joins).map(([name, j]) => joinCode(name, j, lanes))].join("\n"),
		body: wgsl`${place}
if (row >= p.rows) { return; }
${body}`,
	};
}
