import { defineKernel } from "../gpu/defineKernel.ts";
import { reads, writes } from "../gpu/kernel.ts";
import { wgsl } from "../gpu/wgsl.ts";
import type { Physical } from "../physical.ts";
import { type Attrs, type Bound, type Domain, definePrimitive, type Primitive } from "../primitive.ts";
import { contiguous } from "./contiguous.ts";
import { entry } from "./stacked.ts";
import { evaluator } from "./symbolic.ts";

/** The gradients of an element-wise row by several operands. */
export interface JointSpec {
	/** The first is the gradient of the result, the others are what the derivatives read. */
	readonly operands: readonly string[];
	/** By operand of the row, WGSL of the gradient by it. */
	readonly terms: Readonly<Record<string, string>>;
	readonly attrs: Attrs;
	readonly domains: Readonly<Record<string, Domain>>;
	readonly bound: Bound;
}

/** All of them by one kernel, which reads once what they share, and writes them one after the other in memory; of operands in f32 that all have the shape of the result. */
export function jointly(name: string, { operands, terms, attrs, domains, bound }: JointSpec, label: string): Primitive<Attrs> {
	const results = Object.keys(terms).map((o) => `d${o}`);
	const refs = Object.values(terms).map((f) => evaluator(f));
	const kernel = defineKernel(`map/${label}.d`, ({ lanes }: { lanes: 1 | 4 }) => {
		const four = lanes === 4 ? "4" : "";
		const each = (d: string): string =>
			lanes === 4
				? `vec4f(${[0, 1, 2, 3].map((i) => `${d}(${operands.map((o) => `${o}[${i}]`).join(", ")})`).join(", ")})`
				: `${d}(${operands.join(", ")})`;
		return {
			params: { n: "u32", ...Object.fromEntries(Object.keys(attrs).map((a) => [a, "f32" as const])) },
			buffers: {
				...Object.fromEntries(operands.map((o) => [`${o}_buf`, reads("f32", lanes)])),
				grads: writes("f32", lanes),
			},
			workgroup: 64,
			helpers: Object.values(terms)
				.map((f, i) => `fn ${results[i]}(${operands.map((o) => `${o}: f32`).join(", ")}) -> f32 { return ${f}; }`)
				.join("\n"),
			body: wgsl`if (index >= p.n) { return; }
${operands.map((o) => `let ${o} = ${o}_buf_at${four}(index);`).join("\n")}
${results.map((d, i) => `grads_set${four}(${i === 0 ? "" : `${i}u * p.n + `}index, ${each(d)});`).join("\n")}`,
		};
	});
	return definePrimitive<Attrs, string>({
		name,
		signature: `${operands.map((o) => `${o}[...]`).join(", ")} -> ${results.map((d) => `${d}[...]`).join(", ")}`,
		attrs,
		infinite: true,
		forward: ({ runtime, inputs, attrs: given }) => {
			const views = operands.map((o) => contiguous(inputs[o]));
			const grads = runtime.empty([results.length, ...views[0].shape]);
			const lanes = [views[0].size, ...views.map((v) => v.offset)].every((v) => v % 4 === 0) ? 4 : 1;
			const buffers: Record<string, Physical> = {};
			for (const [i, o] of operands.entries()) buffers[`${o}_buf`] = views[i];
			const n = views[0].size / lanes;
			kernel
				.of({ lanes })
				.run({ ...buffers, grads }, { n, ...Object.fromEntries(Object.entries(given).map(([a, v]) => [a, Number(v)])) }, n);
			return results.map((_, i) => entry(grads, i));
		},
		grad: Object.fromEntries(operands.map((o) => [o, "missing"])),
		reference: (inputs, given) => {
			const { shape, data } = inputs[operands[0]];
			return refs.map((ref) => ({
				shape,
				data: data.map((_, i) =>
					ref({
						...Object.fromEntries(Object.entries(given).map(([a, v]) => [a, Number(v)])),
						...Object.fromEntries(operands.map((o) => [o, inputs[o].data[i]])),
					}),
				),
			}));
		},
		test: { domains, bound },
	});
}
