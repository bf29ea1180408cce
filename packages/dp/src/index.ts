export { Accountant, type AccountantState, type AccountedStep } from "./accountant/accountant.ts";
export {
	type CalibrationOptions,
	calibrateNoise,
	getNoiseMultiplier,
	getSampleRate,
	getSteps,
	type PrivacyTarget,
} from "./accountant/calibration.ts";
export {
	type AccountedEvent,
	type AccountedHistory,
	appendEvent,
	type PrivacyEvent,
	type PrivacyHistory,
	type RandomAllocationEvent,
	type TruncatedPoissonEvent,
} from "./accountant/events.ts";
export { gaussianDelta, gaussianEpsilon, gaussianMu } from "./accountant/gaussian.ts";
export { approximateMu } from "./accountant/gdp.ts";
export { type PldBound, pldDelta, pldEpsilon } from "./accountant/pld.ts";
export { type PrvSpent, prvEpsilon } from "./accountant/prv.ts";
export {
	DEFAULT_ORDERS,
	type DeltaSpent,
	deltaFromRdp,
	epsilonFromRdp,
	OPACUS_ORDERS,
	type PrivacySpent,
	privacySpent,
	RdpAccountant,
	type RdpAccountantState,
	type RdpOptions,
	rdp,
} from "./accountant/rdp.ts";
export { logMoment } from "./accountant/sampledGaussian.ts";
export { type AccountantName, type DeltaOptions, delta, type EpsilonOptions, epsilon } from "./accountant/spent.ts";
export { tradeOff, truePositiveRate } from "./accountant/tradeOff.ts";
export {
	type CanaryShape,
	type RandomCanaryOptions,
	randomCanaries,
	type SampledCanaryOptions,
	sampledCanaries,
} from "./audit/canaries.ts";
export { type BinomialCount, clopperPearson, type RateBounds } from "./audit/clopperPearson.ts";
export { exposure } from "./audit/exposure.ts";
export { epsilonFromScores, muFromScores } from "./audit/gaussianPair.ts";
export { epsilonFromGaussianRates, muFromRates } from "./audit/gaussianRates.ts";
export { noiseFromRates, refutes } from "./audit/noise.ts";
export { epsilonOneRun, type OneRunGuesses, oneRunPValue } from "./audit/oneRun.ts";
export { epsilonOneRunFdp, muOneRun } from "./audit/oneRunFdp.ts";
export { type Planted, type PlantOptions, plantCanaries, scoreCanaries } from "./audit/plant.ts";
export { type AuditConfidence, type AuditOptions, epsilonFromRates } from "./audit/rates.ts";
export { type AttackCounts, attackCounts, type CanaryScores, guessCounts } from "./audit/scores.ts";
export { BoundedSum } from "./boundedSum.ts";
export type { AdaptiveClipping, PlannedAdaptiveClipping } from "./clip/adaptive.ts";
export type { Block, RecordGradient } from "./clip/blocks.ts";
export { type Clipped, type Clipping, clip, type PlannedClipping } from "./clip/clip.ts";
export type { GradientColumns } from "./clip/gradientColumns.ts";
export { bandedSquareRoot } from "./correlation.ts";
export { type Measures, PrivateMeasures } from "./diagnostics.ts";
export { PrivacyEngine } from "./engine.ts";
export type { EngineOptions, MakePrivateOptions, PrivacyEngineOptions } from "./engineOptions.ts";
export type { EngineState, LedgerMark, LedgerUse, PlanFacts, PrivateState } from "./engineState.ts";
export { type EvaluationOptions, recordLosses } from "./evaluate.ts";
export { type LedgerEntry, type LedgerRun, type LedgerStore, PrivacyLedger, type RunEntry, type StepEntry } from "./ledger.ts";
export { GaussianMechanism, type MechanismOptions, type Release, type SumSteps } from "./mechanism.ts";
export type { NoiseDraw, NoisyCounts } from "./noiseDraw.ts";
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
	type StagedBatch,
} from "./records.ts";
export type { ReplayMode } from "./replays.ts";
export { privacyStatement, type RunFacts } from "./report.ts";
export type { SampledMechanism, Sampling } from "./sampler.ts";
export { type PhysicalBatch, type PoissonOptions, poissonBatch, splitVirtual, stepsForEpochs } from "./sampling.ts";
export type { PlannedSchedule, Schedule } from "./schedule.ts";
export { insecureNoiseForTests, type NoiseSource, research, type Study, secureNoise, type Transcript } from "./secureRandom.ts";
export { StepReport } from "./stepReport.ts";
export type { GradientMode } from "./streaming.ts";
export type { Loss, Trainer, TrainingReport } from "./trainer.ts";
export { groupByUnit, type PrivacyUnit, type Units } from "./units.ts";
