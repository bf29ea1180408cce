import { insecureNoiseForTests, PrivacyEngine } from "@hushgrad/dp";
import { fromPretrained } from "@hushgrad/models";
import { AdamW, applyLora, loraConfig } from "@hushgrad/nn";
import { IGNORE_INDEX, key } from "@hushgrad/tensor";
import { openDevice } from "../cli/openDevice.ts";
import type { RunEvent } from "../run/events.ts";
import type { Settings } from "../settings/settings.ts";

/** What a trial took. */
export interface Measured {
	/** Seconds of the first physical batch: kernels are compiled. */
	readonly first: number;
	/** Seconds of the second. */
	readonly second: number;
	/** Bytes of GPU memory, at most. */
	readonly peakBytes: number;
	/** The GPU. */
	readonly device: string;
}

/**
 * Takes two steps of one physical batch each, of texts without meaning and of the size of the records; what they teach is thrown away. No
 * record is touched, and so no ε is spent. `tell` is told how far it is.
 */
export async function measureStep(settings: Settings, tell: (event: RunEvent) => void): Promise<Measured> {
	tell({ kind: "opening" });
	const device = await openDevice(settings.gpu);
	try {
		const { model: folder, quantization, rank, alpha, dropout, targetModules, physicalBatchSize: rows, gradientCheckpointing } = settings;
		const isQuantizing = quantization === "nf4";
		const model = await fromPretrained(folder, {
			device,
			quantization: isQuantizing ? "nf4" : undefined,
			onProgress: ({ loaded, total }) => tell({ kind: "loading", done: loaded, total, isQuantizing }),
		});
		const lora = loraConfig({ r: rank, lora_alpha: alpha, lora_dropout: dropout, target_modules: [...targetModules] });
		applyLora(model, lora, { device, key: key(0) });
		const optimizer = new AdamW(model.trainableParameters(), { lr: settings.lr, betas: [settings.beta1, 0.999] });
		const counts = { datasetSize: rows, expectedBatchSize: rows, physicalBatchSize: rows, steps: 2 };
		const engine = PrivacyEngine.makePrivate({
			...{ model, optimizer, ...counts, noiseMultiplier: 1, targetDelta: 0.1 / rows, maxGradNorm: settings.maxGradNorm },
			...{ noise: insecureNoiseForTests(0), key: key(0) },
		});
		const { maxLength, maxResponse } = settings;
		const start = maxLength - maxResponse - 1;
		const record = (row: number) => ({
			ids: Int32Array.from({ length: maxLength }, (_, t) => 3 + ((row + t) % 97)),
			positions: Int32Array.from({ length: maxResponse }, (_, t) => Math.max(0, start + t)),
			targets: Int32Array.from({ length: maxResponse }, (_, t) => (start + t < 0 ? IGNORE_INDEX : 3 + ((row + t) % 89))),
			weight: 1 / maxResponse,
		});
		const seconds: number[] = [];
		tell({ kind: "compiling", step: 1 });
		for (let step = 0; step < 2; step++) {
			const started = performance.now();
			await engine.step(record, (one, drop) => model.loss(one, { dropout: drop, gradientCheckpointing }));
			seconds.push((performance.now() - started) / 1000);
		}
		return {
			first: seconds[0],
			second: seconds[1],
			peakBytes: device.memory().peakBytes,
			device: device.info.description || device.info.vendor,
		};
	} finally {
		device.destroy();
	}
}
