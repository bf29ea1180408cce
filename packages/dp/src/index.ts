export { type CalibrationOptions, getNoiseMultiplier } from "./accountant/calibrate.ts";
export { appendEvent, type PrivacyEvent, type PrivacyHistory } from "./accountant/events.ts";
export * from "./accountant/rdp.ts";
export { logMoment } from "./accountant/sampledGaussian.ts";
export { BoundedSum } from "./boundedSum.ts";
export { type Clipped, clip } from "./clip/clip.ts";
export { type Measures, PrivateMeasures } from "./diagnostics.ts";
export { type EngineOptions, type MakePrivateOptions, PrivacyEngine, type PrivacyEngineOptions } from "./engine.ts";
export type { EngineState, LedgerUse, PlanFacts } from "./engineState.ts";
export { type EvaluationOptions, recordLosses } from "./evaluate.ts";
export { type LedgerEntry, type LedgerRun, type LedgerStore, PrivacyLedger, type RunEntry, type StepEntry } from "./ledger.ts";
export { GaussianMechanism, type MechanismOptions, type NoiseDraw, type Release } from "./mechanism.ts";
export type { Optimizer, PublicState, TrainableVector } from "./optimizer.ts";
export { type PlainOptimizer, type PlainReport, PlainTrainer, type PlainTrainerOptions } from "./plainTrainer.ts";
export {
	type Duration,
	type EpochCount,
	type GivenNoise,
	type NoiseLevel,
	type PlanOptions,
	type PlanSettings,
	type PrivacyPlan,
	planPrivacy,
	type StepCount,
	type TargetEpsilon,
} from "./plan.ts";
export {
	type Batch,
	Batcher,
	type DeviceRecord,
	type Encode,
	type HostFor,
	type HostRecord,
	type HostValue,
	recordKey,
} from "./records.ts";
export { privacyStatement, type RunFacts } from "./report.ts";
export { type PhysicalBatch, type PoissonOptions, poissonBatch, splitVirtual, stepsForEpochs } from "./sampling.ts";
export { insecureNoiseForTests, type NoiseSource, research, type Study, secureNoise, type Transcript } from "./secureRandom.ts";
export { StepReport } from "./stepReport.ts";
export type { Loss, Trainer, TrainingReport } from "./trainer.ts";
