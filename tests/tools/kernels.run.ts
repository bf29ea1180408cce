/**
 * `npm run kernels`: every kernel that one call and one gradient of each primitive compile, with its buffers and
 * parameters. `-- --wgsl DIR` writes the WGSL of each to a file, for a look or for a diff between two commits.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { requestDevice, type Slot, sum, type Tensor, valueAndGrad } from "@hushgrad/tensor";
import fc from "fast-check";
import { arbitraryDraw, caseOf, dtypeOf, upload } from "../support/cases.ts";
import { primitives } from "../support/registry.ts";

const CASES = 5;

const { values } = parseArgs({ options: { wgsl: { type: "string" } } });
const device = await requestDevice();
for (const p of primitives()) {
	for (const draw of fc.sample(arbitraryDraw(p), { numRuns: CASES, seed: 1 })) {
		const c = caseOf(p, draw);
		device.scope<void>(() => {
			const slots: Slot[] = p.signature.inputs.map((o) => ({ value: upload(device, c.inputs[o.name], dtypeOf(p, o.name), c.reversed) }));
			const call = (): Tensor =>
				p.apply(
					slots.map((s) => s.value),
					c.attrs,
				)[0];
			const smooth = slots.filter((_, i) => p.spec.grad[p.signature.inputs[i].name] !== "none");
			if (smooth.length === 0) call();
			else valueAndGrad(() => sum(call()), smooth);
		});
	}
}
await device.flush();
const kernels = [...device.pipelines.kernels()].sort((a, b) => (a.key < b.key ? -1 : 1));
for (const { key, lanes, buffers, params, layoutKey, code } of kernels) {
	const bound = buffers.map((b, i) => `${b}:${layoutKey[i] === "r" ? "read" : "write"}`).join(" ");
	console.log(
		`${key.padEnd(34)} ${String(lanes).padStart(3)} lanes  ${String(code.length).padStart(6)} bytes  ${bound}  (${params.map(([n]) => n).join(" ")})`,
	);
	if (values.wgsl !== undefined) {
		mkdirSync(values.wgsl, { recursive: true });
		writeFileSync(join(values.wgsl, `${key.replaceAll("/", "-")}.wgsl`), `${code}\n`);
	}
}
console.log(`${kernels.length} kernels of ${primitives().length} primitives`);
device.destroy();
