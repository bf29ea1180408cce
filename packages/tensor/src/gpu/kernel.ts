import { type DType, wgslScalar } from "../dtype.ts";
import { preludeFor } from "./prelude.ts";

export type ParamType = "u32" | "i32" | "f32";

/** One storage binding of a kernel. `lanes: 4` binds vec4 elements (offset and size in whole vec4). */
export interface BufferSpec {
	readonly dtype: DType;
	readonly access: "read" | "write";
	readonly lanes?: 1 | 4 | undefined;
}

/**
 * What a kernel is made of. In `body`, `p.NAME` is a parameter, `index` the number of the invocation (1-D kernels) or `gid`
 * its 3-D position; for a buffer x: `x_at(i)` loads (f32 for f16 and bf16, u32 for u8), `x_at4(i)` the i-th vec4,
 * `x_set(i, v)` and `x_set4(i, v)` store; packed results (bf16, u8) are stored by whole words, `x_word(i, v)`. Offsets of views are added by these accessors.
 */
export interface KernelSpec<P extends string = string, B extends string = string> {
	readonly params: Readonly<Record<P, ParamType>>;
	readonly buffers: Readonly<Record<B, BufferSpec>>;
	/** Invocations of a workgroup, in one row or on three axes. */
	readonly workgroup: number | readonly [number, number, number];
	readonly helpers?: string | undefined;
	readonly body: string;
}

/** A buffer that a kernel reads, and one that it writes (and may read). */
export const reads = (dtype: DType, lanes: 1 | 4 = 1): BufferSpec => ({ dtype, access: "read", lanes });
export const writes = (dtype: DType, lanes: 1 | 4 = 1): BufferSpec => ({ dtype, access: "write", lanes });

/** The workgroup on three axes. */
export const workgroupOf = ({ workgroup }: KernelSpec): readonly [number, number, number] =>
	typeof workgroup === "number" ? [workgroup, 1, 1] : workgroup;

export const MAX_PARAM_BYTES = 256;

function accessors(name: string, { dtype, access, lanes = 1 }: BufferSpec): { type: string; code: string } {
	const scalar = wgslScalar[dtype];
	if (dtype === "f16") {
		const [stored, seen, suffix] = lanes === 4 ? ["vec4<f16>", "vec4f", "4"] : ["f16", "f32", ""];
		const at = lanes === 4 ? `p.${name}_base / 4u + i_` : `p.${name}_base + i_`;
		const load = `fn ${name}_at${suffix}(i_: u32) -> ${seen} { return ${seen}(${name}[${at}]); }`;
		const store = `fn ${name}_set${suffix}(i_: u32, v_: ${seen}) { ${name}[${at}] = ${stored}(v_); }`;
		return { type: stored, code: access === "write" ? `${load}\n${store}` : load };
	}
	if (dtype === "u8") {
		const code = `fn ${name}_at(i_: u32) -> u32 { let j = p.${name}_base + i_; return (${name}[j >> 2u] >> (8u * (j & 3u))) & 255u; }
`;
		return { type: "u32", code: access === "write" ? `${code}fn ${name}_word(i_: u32, v_: u32) { ${name}[i_] = v_; }` : code };
	}
	if (dtype === "bf16") {
		const type = lanes === 4 ? "vec2u" : "u32";
		const code =
			lanes === 4
				? `fn ${name}_at4(i_: u32) -> vec4f { let q = ${name}[p.${name}_base / 4u + i_];
  return vec4f(bitcast<f32>(q.x << 16u), bitcast<f32>(q.x & 0xffff0000u), bitcast<f32>(q.y << 16u), bitcast<f32>(q.y & 0xffff0000u)); }`
				: `fn ${name}_at(i_: u32) -> f32 { let j = p.${name}_base + i_; let q = ${name}[j >> 1u];
  return bitcast<f32>(select(q << 16u, q & 0xffff0000u, (j & 1u) == 1u)); }`;
		return { type, code: access === "write" ? `${code}\nfn ${name}_word(i_: u32, v_: u32) { ${name}[i_] = v_; }` : code };
	}
	const type = lanes === 4 ? `vec4<${scalar}>` : scalar;
	const suffix = lanes === 4 ? "4" : "";
	const base = lanes === 4 ? `p.${name}_base / 4u` : `p.${name}_base`;
	const load = `fn ${name}_at${suffix}(i_: u32) -> ${type} { return ${name}[${base} + i_]; }`;
	const store = `fn ${name}_set${suffix}(i_: u32, v_: ${type}) { ${name}[${base} + i_] = v_; }`;
	return { type, code: access === "write" ? `${load}\n${store}` : load };
}

/** Complete WGSL of a kernel: parameter block at binding 0, buffers from binding 1 on in the order given. */
export function kernelSource(spec: KernelSpec): string {
	const names = Object.keys(spec.buffers);
	const fields = [...Object.entries(spec.params), ...names.map((n) => [`${n}_base`, "u32"] as const)];
	const calls = preludeFor(`${spec.helpers ?? ""}${spec.body}`);
	const f16 = names.some((n) => spec.buffers[n].dtype === "f16") ? ["enable f16;"] : [];
	const lines = [
		...f16,
		`struct Params { ${fields.map(([n, t]) => `${n}: ${t}`).join(", ")} }`,
		"@group(0) @binding(0) var<uniform> p: Params;",
	];
	names.forEach((name, i) => {
		const buffer = spec.buffers[name];
		const { type, code } = accessors(name, buffer);
		const mode = buffer.access === "read" ? "read" : "read_write";
		lines.push(`@group(0) @binding(${i + 1}) var<storage, ${mode}> ${name}: array<${type}>;`, code);
	});
	if (calls !== "") lines.push(calls);
	if (spec.helpers !== undefined) lines.push(spec.helpers);
	const [x, y, z] = workgroupOf(spec);
	lines.push(
		`@compute @workgroup_size(${x}, ${y}, ${z})
fn main(@builtin(global_invocation_id) gid: vec3u, @builtin(workgroup_id) wid: vec3u,
        @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let index = (wid.y * nwg.x + wid.x) * ${x * y * z}u + lane;
${spec.body}
}`,
	);
	return lines.join("\n");
}
