import { type DType, wgslScalar } from "../dtype.ts";
import { preludeFor } from "./prelude.ts";

/** WGSL type of a number that a kernel takes. */
export type ParamType = "u32" | "i32" | "f32";

/** So many elements are read or written as one. */
export type Lanes = 1 | 2 | 4;

/** One storage binding of a kernel; `reads` and `writes` make it. */
export interface BufferSpec {
	/** Element type that a view given for it must have. */
	readonly dtype: DType;
	/** "write" may read too. No other buffer of the call may lie in the memory that is written. */
	readonly access: "read" | "write";
	/** 2 or 4: the elements are seen as vec2 or vec4, and the offset of a view must be a multiple of it. 1 when left out. u8 has 1 alone. */
	readonly lanes?: Lanes | undefined;
}

/** Memory of a workgroup: an array that its invocations share, undefined at first. */
export interface SharedSpec {
	readonly type: "f32" | "i32" | "u32" | "vec2f" | "vec2u" | "vec4u" | "vec4f";
	readonly length: number;
	/** So many such arrays, in an array; one array alone when left out. */
	readonly times?: number | undefined;
}

/**
 * What a kernel is made of: numbers, buffers and WGSL. The library adds the bindings, the entry point and, for each buffer x,
 * accessors that add the offset of the view:
 * - `x_at(i)` is element i: f32 for f32, f16 and bf16, i32 for i32, u32 for u32, bool (0 or 1) and u8;
 * - `x_set(i, v)` stores it, in a buffer that is written, of any type but bf16 and u8;
 * - with 4 lanes instead `x_at4(i)` and `x_set4(i, v)`: elements 4i to 4i + 3 as a vec4, of a written bf16 such as it holds; with 2
 *   lanes `x_at2(i)` and `x_set2(i, v)` in the same way;
 * - `x_word(i, v)` stores word i, packed, of a written bf16 read one by one (two elements, the lower half first) or u8 (four). It adds
 *   no offset: for results that `runtime.empty` made.
 *
 * An element is found by its number in the storage: the kernel adds up strides, which it takes as numbers, or is given
 * `contiguous(x)`. Strides and counts are numbers rather than text, so that one kernel serves all shapes.
 */
export interface KernelSpec<P extends string = string, B extends string = string> {
	/** The numbers that a run takes, by name; `p.NAME` in WGSL. With the buffers together at most 64. */
	readonly params: Readonly<Record<P, ParamType>>;
	/** The buffers that a run takes, by name. Devices allow 8 or more. */
	readonly buffers: Readonly<Record<B, BufferSpec>>;
	/** Invocations of a workgroup, in one row or on three axes; 256 together are allowed everywhere. */
	readonly workgroup: number | readonly [number, number, number];
	/** Arrays that the invocations of a workgroup share, by name: 16 KiB together are allowed everywhere. */
	readonly shared?: Readonly<Record<string, SharedSpec>> | undefined;
	/**
	 * Features of WebGPU that it needs beyond those of its buffers, such as "subgroups". With "subgroups" the entry point has `subgroup`,
	 * the number of the subgroup in its workgroup, and `subgroupLane`, that of the invocation in its subgroup.
	 */
	readonly features?: readonly string[] | undefined;
	/** WGSL before the entry point: functions and constants. It may use `p`, the accessors and what is shared. */
	readonly helpers?: string | undefined;
	/**
	 * WGSL of the entry point, without its braces. `index` is the number of the invocation, workgroup by workgroup, which may
	 * exceed what was asked for: `if (index >= p.n) { return; }`. `gid` is its position on three axes, `wid` that of its
	 * workgroup among `nwg`, `lane` its number in the workgroup.
	 *
	 * Functions that are added where they are called, and let NaN through on every driver: isNan isInf isFinite makeNan keepNan
	 * nanMax nanMin safeSqrt fmodOf remainderOf logistic erf normalCdf expm1 log1p power, and bf16Of (the bits of an f32 rounded to
	 * bf16) and orderOf (a u32 in the order of the floats). exp exp2 log log2 sin cos tan asin acos atan atan2 sinh cosh tanh are
	 * not WGSL's but of this library, within 4 ULP everywhere, and take one f32, no vector.
	 */
	readonly body: string;
}

/** A buffer that a kernel reads: elements, or vec2 or vec4 with 2 or 4 `lanes`. */
export const reads = (dtype: DType, lanes: Lanes = 1): BufferSpec => ({ dtype, access: "read", lanes });

/** A buffer that a kernel writes, and may read; lanes as of `reads`. What it does not write keeps its old contents. */
export const writes = (dtype: DType, lanes: Lanes = 1): BufferSpec => ({ dtype, access: "write", lanes });

/** The workgroup on three axes. */
export const workgroupOf = ({ workgroup }: KernelSpec): readonly [number, number, number] =>
	typeof workgroup === "number" ? [workgroup, 1, 1] : workgroup;

const SHARED_BYTES = { f32: 4, i32: 4, u32: 4, vec2f: 8, vec2u: 8, vec4u: 16, vec4f: 16 } as const;

/** What a kernel takes of the device beyond bindings: invocations of a workgroup, and bytes that they share. */
export const needsOf = (spec: KernelSpec): { readonly invocations: number; readonly bytes: number } => ({
	invocations: workgroupOf(spec).reduce((n, d) => n * d, 1),
	bytes: Object.values(spec.shared ?? {}).reduce((n, { type, length, times = 1 }) => n + SHARED_BYTES[type] * length * times, 0),
});

export const MAX_PARAM_BYTES = 256;

function accessors(name: string, { dtype, access, lanes = 1 }: BufferSpec): { type: string; code: string } {
	const of = (type: string): string => (lanes === 1 ? type : `vec${lanes}<${type}>`);
	const scalar = wgslScalar[dtype];
	const [seen, suffix] = [of(scalar), lanes === 1 ? "" : `${lanes}`];
	const at = lanes === 1 ? `p.${name}_base + i_` : `p.${name}_base / ${lanes}u + i_`;
	const [load, store] = [`fn ${name}_at${suffix}(i_: u32) -> ${seen}`, `fn ${name}_set${suffix}(i_: u32, v_: ${seen})`];
	const word = `fn ${name}_word(i_: u32, v_: u32) { ${name}[i_] = v_; }`;
	const coded = (type: string, loading: string, storing: string) => ({
		type,
		code: access === "write" ? `${loading}\n${storing}` : loading,
	});
	if (dtype === "f16") {
		return coded(of("f16"), `${load} { return ${seen}(${name}[${at}]); }`, `${store} { ${name}[${at}] = ${of("f16")}(v_); }`);
	}
	if (dtype === "u8") {
		return coded("u32", `${load} { let j = ${at}; return (${name}[j >> 2u] >> (8u * (j & 3u))) & 255u; }`, word);
	}
	if (dtype === "bf16" && lanes === 1) {
		const chosen = "bitcast<f32>(select(q << 16u, q & 0xffff0000u, (j & 1u) == 1u))";
		return coded("u32", `${load} { let j = ${at}; let q = ${name}[j >> 1u]; return ${chosen}; }`, word);
	}
	if (dtype === "bf16") {
		const [type, words, even, odd] = lanes === 4 ? ["vec2u", ["q.x", "q.y"], "q.xz", "q.yw"] : ["u32", ["q"], "q.x", "q.y"];
		const halves = words.flatMap((q) => [`bitcast<f32>(${q} << 16u)`, `bitcast<f32>(${q} & 0xffff0000u)`]);
		const packed = `(${even} >> ${type}(16u)) | (${odd} & ${type}(0xffff0000u))`;
		return coded(
			type,
			`${load} { let q = ${name}[${at}]; return ${seen}(${halves.join(", ")}); }`,
			`${store} { let q = bitcast<vec${lanes}u>(v_); ${name}[${at}] = ${packed}; }`,
		);
	}
	return coded(seen, `${load} { return ${name}[${at}]; }`, `${store} { ${name}[${at}] = v_; }`);
}

/** Complete WGSL of a kernel: parameter block at binding 0, buffers from binding 1 on in the order given. */
export function kernelSource(spec: KernelSpec): string {
	const names = Object.keys(spec.buffers);
	const fields = [...Object.entries(spec.params), ...names.map((n) => [`${n}_base`, "u32"] as const)];
	const calls = preludeFor(`${spec.helpers ?? ""}${spec.body}`);
	const features = new Set([...(names.some((n) => spec.buffers[n].dtype === "f16") ? ["shader-f16"] : []), ...(spec.features ?? [])]);
	const lines = [
		...[...features].map((name) => `enable ${name.replace("shader-", "").replaceAll("-", "_")};`),
		`struct Params { ${fields.map(([n, t]) => `${n}: ${t}`).join(", ")} }`,
		"@group(0) @binding(0) var<uniform> p: Params;",
	];
	names.forEach((name, i) => {
		const buffer = spec.buffers[name];
		const { type, code } = accessors(name, buffer);
		const mode = buffer.access === "read" ? "read" : "read_write";
		lines.push(`@group(0) @binding(${i + 1}) var<storage, ${mode}> ${name}: array<${type}>;`, code);
	});
	for (const [name, { type, length, times }] of Object.entries(spec.shared ?? {})) {
		const one = `array<${type}, ${length}>`;
		lines.push(`var<workgroup> ${name}: ${times === undefined ? one : `array<${one}, ${times}>`};`);
	}
	if (calls !== "") lines.push(calls);
	if (spec.helpers !== undefined) lines.push(spec.helpers);
	const [x, y, z] = workgroupOf(spec);
	lines.push(
		`@compute @workgroup_size(${x}, ${y}, ${z})
fn main(@builtin(global_invocation_id) gid: vec3u, @builtin(workgroup_id) wid: vec3u,
        @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lane: u32${features.has("subgroups") ? ", @builtin(subgroup_id) subgroup: u32, @builtin(subgroup_invocation_id) subgroupLane: u32" : ""}) {
  let index = (wid.y * nwg.x + wid.x) * ${x * y * z}u + lane;
${spec.body}
}`,
	);
	return lines.join("\n");
}
