/**
 * `npm run kernels`: every kernel that the packages define, with its buffers and parameters; below a family, the variants
 * that calls and gradients of all operations compile, alone and for records. Fails for a kernel that is in no registry.
 * `-- --wgsl DIR` writes the WGSL of each to a file, for a look or for a diff between two commits.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { requestDevice, type Slot, sum, type Tensor, valueAndGrad, vmap } from "@hushgrad/tensor";
import { Kernel, type KernelFamily, type LinearOp, type NdArray, type Primitive, runtimeOf, sizeOf } from "@hushgrad/tensor/author";
import fc from "fast-check";
import { type KernelSpec, kernelSource, workgroupOf } from "../../packages/tensor/src/gpu/kernel.ts";
import { readFlags } from "../../tools/flags.mjs";
import { arbitraryDraw, caseOf, dtypeOf, numbers, stacked, upload } from "../support/cases.ts";
import { linearOps, numbered, primitives, registries } from "../support/registry.ts";

const CASES = 5;
const SHAPES = [[], [4], [2, 3], [3, 3], [2, 3, 4], [2, 3, 2, 5]];

const values = readFlags("npm run kernels -- [--wgsl DIR]   writes the WGSL of each kernel into DIR", { wgsl: { type: "string" } });
const device = await requestDevice();

/** Runs an operation, and its gradient by the operands that have one. */
function exercise(operands: readonly Tensor[], isSmooth: readonly boolean[], call: (operands: readonly Tensor[]) => Tensor): Tensor {
	const slots = operands.map((value): Slot => ({ value }));
	const smooth = slots.filter((_, i) => isSmooth[i]);
	if (smooth.length > 0) valueAndGrad(() => sum(call(slots.map((s) => s.value))), smooth);
	return call(operands);
}

function exercisePrimitive(p: Primitive): void {
	const { inputs } = p.signature;
	const isSmooth = inputs.map((o) => typeof p.spec.grad[o.name] === "object");
	for (const draw of fc.sample(arbitraryDraw(p), { numRuns: CASES, seed: 1 })) {
		const c = caseOf(p, draw);
		const call = (operands: readonly Tensor[]): Tensor => p.apply(operands, c.attrs)[0];
		const put = (x: NdArray, name: string): Tensor => upload(device, x, dtypeOf(p, name), p.inPlace ? "plain" : c.layout);
		device.scope<void>(() => {
			const one = inputs.map(({ name }) => put(c.inputs[name], name));
			exercise(one, isSmooth, call);
			const inAxes = inputs.map((o) => (o.frozen ? null : 0));
			if (p.inPlace || inAxes.every((axis) => axis === null)) return;
			const two = inputs.map(({ name, frozen }, i) => (frozen ? one[i] : put(stacked([c.inputs[name], c.inputs[name]]), name)));
			vmap((...own: Tensor[]) => exercise(own, isSmooth, call), { inAxes })(...two);
		});
	}
}

function exerciseLinear(op: LinearOp): void {
	const { draw, operands = (shape: readonly number[]) => [shape] } = op.spec.test;
	for (const [i, shape] of SHAPES.entries()) {
		const next = numbers(1, i);
		const args = draw(shape, next);
		if (args === undefined) continue;
		device.scope<void>(() => {
			const given = operands(shape, args).map((s) => device.fromHost(Float32Array.from({ length: sizeOf(s) }, next), s));
			const isFloat = op.apply(given, args).dtype === "f32";
			exercise(
				given,
				given.map(() => isFloat),
				(tensors) => op.apply(tensors, args),
			);
		});
	}
}

for (const p of primitives()) exercisePrimitive(p);
for (const op of linearOps()) exerciseLinear(op);
await device.flush();

/** One line of the list; writes the WGSL where it was asked for. */
function show(key: string, spec: KernelSpec, indent = ""): void {
	const code = kernelSource(spec);
	const lanes = workgroupOf(spec).reduce((a, b) => a * b);
	const bound = Object.entries(spec.buffers).map(([name, { access }]) => `${name}:${access}`);
	const head = `${indent}${key}`.padEnd(38);
	console.log(
		`${head} ${String(lanes).padStart(3)} lanes  ${String(code.length).padStart(6)} bytes  ${bound.join(" ")}  (${Object.keys(spec.params).join(" ")})`,
	);
	if (values.wgsl === undefined) return;
	mkdirSync(values.wgsl, { recursive: true });
	writeFileSync(join(values.wgsl, `${key.replaceAll("/", "-")}.wgsl`), `${code}\n`);
}

const nameOf = (k: Kernel | KernelFamily): string => (k instanceof Kernel ? k.key : k.name);
const byName = <T>(list: readonly T[], name: (item: T) => string): T[] => [...list].sort((a, b) => (name(a) < name(b) ? -1 : 1));

const compiled = runtimeOf(device).pipelines.kernels();
const shown = new Set<object>();
for (const [packageName, { kernels }] of Object.entries(registries)) {
	console.log(`${packageName}: ${kernels.length} kernels and families`);
	for (const k of byName(kernels, nameOf)) {
		const variants =
			k instanceof Kernel
				? []
				: byName(
						k.made.filter((v) => compiled.includes(v)),
						(v) => v.key,
					);
		if (k instanceof Kernel) show(k.key, k.spec, "  ");
		else console.log(`  ${k.name}/…  ${variants.length} variants`);
		for (const v of variants) show(v.key, v.spec, "    ");
		for (const one of [k, ...variants]) shown.add(one);
	}
}
const rest = byName(
	compiled.filter((k) => !shown.has(k)),
	(k) => k.key,
);
const derived = rest.filter((k) => /^map4?\/\w+\.d/.test(k.key));
console.log(`derived: ${derived.length} gradients of rows`);
for (const k of derived) show(k.key, k.spec, "  ");
const forms: readonly object[] = numbered().flatMap((p) =>
	(p.spec.kernels ?? []).flatMap((k): readonly object[] => (k instanceof Kernel ? [k] : k.made)),
);
const withNumbers = rest.filter((k) => forms.includes(k));
console.log(`rows with numbers in place of operands, as gradients use them: ${withNumbers.length}`);
for (const k of withNumbers) show(k.key, k.spec, "  ");
const fused = rest.filter((k) => /^map4?\/fused\//.test(k.key));
console.log(`fused: ${fused.length} kernels of several rows`);
const total = Object.values(registries).reduce((n, r) => n + r.kernels.length, 0);
console.log(
	`${total} kernels and families, ${compiled.length} compiled, of ${primitives().length} primitives and ${linearOps().length} linear operations`,
);
const stray = rest.filter((k) => !derived.includes(k) && !withNumbers.includes(k) && !fused.includes(k));
for (const k of stray) console.error(`${k.key} is in no registry: export its definition from a module that the registry reads`);
device.destroy();
process.exitCode = stray.length === 0 ? 0 : 1;
