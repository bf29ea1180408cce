import { PlainTrainer, PrivacyEngine, secureNoise } from "@hushgrad/dp";
import type { TrainingRecord } from "@hushgrad/models";
import { AdamW } from "@hushgrad/nn";
import type { Device, DropoutKey } from "@hushgrad/tensor";
import { loraModel, type ModelSizes } from "./loraModel.ts";

/** Sizes of a model and of its batch: all rows are one physical batch. */
export interface StepSizes extends ModelSizes {
	readonly rows: number;
}

export interface Training {
	/** Coordinates that are trained. */
	readonly parameters: number;
	readonly step: () => Promise<unknown>;
	/** Releases model and optimiser. */
	readonly dispose: () => void;
}

function parts(device: Device, sizes: StepSizes) {
	const { length, vocabulary, rows } = sizes;
	const model = loraModel(device, sizes);
	const row = (r: number, shift: number): Int32Array =>
		Int32Array.from({ length }, (_, i) => ((i + shift) * 7919 + r * 104_729 + 3) % vocabulary);
	const encode = (r: number) => ({ ids: row(r, 0), targets: row(r, 1), weight: 1 / length });
	const loss = (record: TrainingRecord, dropout?: DropoutKey) => model.loss(record, { dropout });
	const optimizer = new AdamW(model.trainableParameters(), { lr: 1e-4 });
	const dispose = (): void => {
		optimizer.dispose();
		model.dispose();
	};
	return { model, encode, loss, optimizer, dispose, given: { optimizer, datasetSize: rows, physicalBatchSize: rows } };
}

/** Steps without privacy of a LoRA run on NF4. */
export function plainTraining(device: Device, sizes: StepSizes): Training {
	const { encode, loss, optimizer, dispose, given } = parts(device, sizes);
	const trainer = new PlainTrainer({ ...given, batchSize: sizes.rows });
	return { parameters: optimizer.vector.length, step: () => trainer.step(encode, loss), dispose };
}

/** Private steps of the same run, on all records of it, with noise of the platform's generator. */
export function privateTraining(device: Device, sizes: StepSizes): Training {
	const { model, encode, loss, optimizer, dispose, given } = parts(device, sizes);
	const engine = PrivacyEngine.makePrivate({
		...given,
		model,
		expectedBatchSize: sizes.rows,
		noiseMultiplier: 1,
		targetDelta: sizes.rows > 1 ? 1e-3 : 0.1,
		steps: 1000,
		maxGradNorm: 1,
		allowMeaninglessEpsilon: true,
		noise: secureNoise(),
	});
	return { parameters: optimizer.vector.length, step: () => engine.step(encode, loss), dispose };
}
