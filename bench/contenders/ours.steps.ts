import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { fromPretrained, generate } from "@hushgrad/models";
import type { Device, Tensor } from "@hushgrad/tensor";
import type { Cost } from "../suite/protocol.ts";
import type { Attrs } from "../suite/row.ts";
import type { Maker } from "../suite/serve.ts";
import { Counters } from "../support/counters.ts";
import { loraModel } from "../support/loraModel.ts";
import { plainTraining, privateTraining, type StepSizes, type Training } from "../support/loraSteps.ts";

const DEMO = fileURLToPath(new URL("../../assets/tiny-vaultgemma", import.meta.url));
const FIRST_STEP = fileURLToPath(new URL("./firstStep.ts", import.meta.url));

/** The sizes of a step, from a row. */
export function sizesOf(attrs: Attrs): StepSizes {
	const of = (name: string): number => Number(attrs[name]);
	return { hidden: of("hidden"), layers: of("layers"), length: of("length"), rows: of("rows"), vocabulary: of("vocabulary") };
}

/** One start of a process to the end of its first private step. */
async function firstStep(sizes: StepSizes, adapter: string | undefined, cache: string): Promise<Cost> {
	const start = performance.now();
	const args = [
		"--import",
		"tsx",
		"-C",
		"@hushgrad/source",
		FIRST_STEP,
		JSON.stringify(sizes),
		...(adapter === undefined ? [] : [adapter]),
	];
	const env = { ...process.env, MESA_SHADER_CACHE_DIR: cache };
	const child = spawn(process.execPath, args, { env, stdio: ["ignore", "pipe", "inherit"] });
	let out = "";
	child.stdout.on("data", (text) => {
		out += text;
	});
	const code = await new Promise((resolve, reject) => child.on("close", resolve).on("error", reject));
	if (code !== 0) throw new Error(`the first step ended with code ${code}`);
	const { gpu, host } = JSON.parse(out.slice(out.lastIndexOf("{"))) as { gpu: number; host: number };
	return { wall: performance.now() - start, gpu, host, runs: 1 };
}

/** Training steps, generation and starts. */
export function stepPrograms(device: Device, adapter: string | undefined): Record<string, Maker<Tensor>> {
	const training =
		(of: (device: Device, sizes: StepSizes) => Training): Maker<Tensor> =>
		async (_, attrs) => {
			const counters = new Counters(device);
			const { step, dispose } = of(device, sizesOf(attrs));
			await step(); // a private run looks at its first batch twice
			const run = async () => {
				await step();
				return [];
			};
			const release = (): void => {
				counters.stop();
				dispose();
			};
			return { run, counts: () => counters.now(), dispose: release };
		};
	return {
		plainStep: training(plainTraining),
		privateStep: training(privateTraining),
		generate: async (_, { tokens, ...sizes }) => {
			const isDemo = sizes.layers === undefined;
			const model = isDemo ? await fromPretrained(DEMO, { device, quantization: "nf4" }) : loraModel(device, sizesOf(sizes));
			const prompt = Array.from({ length: 16 }, (_, i) => 3 + 7 * i);
			const run = async () => {
				for await (const _ of generate(model, prompt, { maxNewTokens: Number(tokens) }));
				return [];
			};
			return { run, dispose: () => model.dispose() };
		},
		load: () => async () => {
			const model = await fromPretrained(DEMO, { device, quantization: "nf4" });
			model.dispose();
			return [];
		},
		coldStart: (_, attrs) => {
			const kept = mkdtempSync(join(tmpdir(), "hushgrad-shaders-"));
			const remove = (folder: string) => rmSync(folder, { recursive: true, force: true });
			const ownCost = async (): Promise<Cost> => {
				if (attrs.cached === true) return firstStep(sizesOf(attrs), adapter, kept);
				const empty = mkdtempSync(join(tmpdir(), "hushgrad-shaders-"));
				try {
					return await firstStep(sizesOf(attrs), adapter, empty);
				} finally {
					remove(empty);
				}
			};
			return { run: () => [], ownCost, dispose: () => remove(kept) };
		},
	};
}
