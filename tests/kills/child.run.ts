/** A run that saves after each step and goes on from what was saved: started again and again by kills.test.ts, and killed. */
import { appendFileSync, existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { type EngineState, PrivacyEngine, planPrivacy, research, secureNoise } from "@hushgrad/dp";
import { fileLedger } from "@hushgrad/dp/files";
import { AdamW, Parameter } from "@hushgrad/nn";
import { loadFile, saveFile, writeFileAtomic } from "@hushgrad/nn/files";
import { key, linear, normalValues, requestDevice, square, sub, sum, type Tensor } from "@hushgrad/tensor";

const [folder, mode, steps] = process.argv.slice(2);
const [weights, state] = [join(folder, "weights.safetensors"), join(folder, "state.json")];
const [N, IN, OUT] = [40, 5, 3];
const XS = normalValues(key(2), N * IN);
const YS = normalValues(key(3), N * OUT);
const plan = planPrivacy({
	datasetSize: N,
	expectedBatchSize: 10,
	targetEpsilon: 8,
	targetDelta: 1e-4,
	steps: Number(steps),
	maxGradNorm: 1,
});

const device = await requestDevice();
const w = new Parameter([OUT, IN]);
w.assign(device.fromHost(normalValues(key(1), OUT * IN), w.shape));
const optimizer = new AdamW([w], { lr: 0.05 });
const { ledger, close } = await fileLedger(join(folder, "ledger.jsonl"));
/** What was drawn, as seen from outside of the library. */
const drew = (step: number): void => appendFileSync(join(folder, "drawn.txt"), `${step}\n`);
const noise =
	mode === "secure"
		? secureNoise()
		: research({
				seed: 4,
				noise: (step, length) => {
					drew(step);
					return normalValues(key(step), length);
				},
			});
const options = { optimizer, physicalBatchSize: 4, noise, ledger: { ledger, dataset: "cards" } };
let engine: PrivacyEngine;
if (existsSync(state)) {
	// The state names the weights that belong to it: a kill may fall between the two files.
	const saved = JSON.parse(await readFile(state, "utf8")) as {
		readonly engine: EngineState;
		readonly steps: number;
		readonly file: string;
	};
	const tensors = await loadFile(device, join(folder, saved.file));
	w.assign(tensors.get("w") as Tensor);
	optimizer.loadState({ steps: saved.steps, tensors: new Map([...tensors].filter(([name]) => name !== "w")) });
	engine = PrivacyEngine.fromState(saved.engine, plan, options);
} else {
	engine = PrivacyEngine.follow(plan, options);
}
process.send?.({ begun: engine.steps });
const loss = ({ x, y }: { readonly x: Tensor; readonly y: Tensor }): Tensor => sum(square(sub(linear(x, w.value), y)));
const encode = (i: number) => {
	if (mode === "secure") drew(engine.steps);
	return { x: XS.slice(i * IN, (i + 1) * IN), y: YS.slice(i * OUT, (i + 1) * OUT) };
};
while (engine.steps < plan.steps) {
	await engine.step(encode, loss);
	process.send?.({ step: engine.steps });
	const { steps: taken, tensors } = optimizer.state();
	const file = `weights-${engine.steps}.safetensors`;
	await saveFile(new Map([...tensors, ["w", w.value]]), join(folder, file));
	await writeFileAtomic(state, JSON.stringify({ engine: engine.state(), steps: taken, file }));
}
await saveFile(new Map([["w", w.value]]), weights);
await close();
device.destroy();
