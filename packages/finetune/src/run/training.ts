import {
	type EngineState,
	groupByUnit,
	type PlainReport,
	PlainTrainer,
	type PrivacyEngine,
	type PrivateState,
	type StepReport,
} from "@hushgrad/dp";
import { padExample, type TrainingRecord, type VaultGemmaForCausalLM } from "@hushgrad/models";
import type { Optimizer } from "@hushgrad/nn";
import type { DropoutKey, Key } from "@hushgrad/tensor";
import type { TokenizedRecord } from "../data/tokenizeRecords.ts";
import type { StepMeasures } from "./events.ts";
import type { Prepared } from "./prepare.ts";

/** What a step tells: what is public, and what is not. */
export interface StepOutcome {
	/** For metrics.jsonl. */
	readonly public: { readonly step: number; readonly epsilon?: number | undefined; readonly loss?: number | undefined };
	/** For who asked for it. */
	readonly private: StepMeasures;
}

/** Training step by step, with privacy or without. */
export interface Training {
	/** Steps counted. */
	readonly steps: number;
	/** Takes one. */
	step(): Promise<StepOutcome>;
	/** Where the engine stands; undefined without one. */
	state(): EngineState | undefined;
	/** What it keeps for itself. */
	privateState(): PrivateState | undefined;
	/** What is guaranteed so far. */
	statement(): string;
}

/** The two functions that training is made of: a record on the host, and its loss on the device. */
function programOf(model: VaultGemmaForCausalLM, { settings: { gradientCheckpointing }, records: { size } }: Prepared) {
	return {
		encode: ({ example }: TokenizedRecord) => padExample(example, size),
		loss: (record: TrainingRecord, dropout?: DropoutKey) => model.loss(record, { dropout, gradientCheckpointing }),
	};
}

/** Training that the engine does. */
export function privateTraining(engine: PrivacyEngine, model: VaultGemmaForCausalLM, prepared: Prepared): Training {
	const { encode, loss } = programOf(model, prepared);
	const { train } = prepared.records;
	const { unit } = engine.plan;
	const units = unit && groupByUnit(train, ({ record }) => record.unit ?? "", unit);
	const step = (): Promise<StepReport> =>
		units === undefined ? engine.stepOn(train, encode, loss) : engine.stepOnUnits(units, encode, loss);
	return {
		get steps() {
			return engine.steps;
		},
		step: async () => {
			const report = await step();
			const { loss, clipped, records } = report.private.reveal();
			return { public: report.toJSON(), private: records === 0 ? { records } : { loss, clipped, records } };
		},
		state: () => engine.state(),
		privateState: () => engine.privateState(),
		statement: () => engine.statement(),
	};
}

/** Training without privacy, to compare with. */
export function plainTraining(
	{ optimizer, key, stepsTaken }: { readonly optimizer: Optimizer; readonly key: Key; readonly stepsTaken: number },
	model: VaultGemmaForCausalLM,
	prepared: Prepared,
): Training {
	const { encode, loss } = programOf(model, prepared);
	const { settings, records } = prepared;
	const { train } = records;
	const batchSize = Math.min(settings.batchSize, train.length);
	const trainer = new PlainTrainer({
		...{ optimizer, key, stepsTaken, batchSize },
		datasetSize: train.length,
		physicalBatchSize: settings.physicalBatchSize,
	});
	let steps = stepsTaken;
	return {
		get steps() {
			return steps;
		},
		step: async () => {
			const report: PlainReport = await trainer.stepOn(train, encode, loss);
			steps = report.step;
			return { public: report, private: { loss: report.loss, records: batchSize } };
		},
		state: () => undefined,
		privateState: () => undefined,
		statement: () => NOT_PRIVATE,
	};
}

const NOT_PRIVATE = [
	"NOT PRIVATE: this run was made without differential privacy (--no-private)",
	"  Its adapter may give the records away that it was trained on, and its losses are those of these records.",
].join("\n");
