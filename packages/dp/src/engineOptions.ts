import type { Key } from "@hushgrad/tensor";
import type { LedgerUse, PrivateState } from "./engineState.ts";
import type { Optimizer, PublicState } from "./optimizer.ts";
import type { Duration, GivenNoise, PlanSettings, TargetEpsilon } from "./plan.ts";
import type { ReplayMode } from "./replays.ts";
import type { NoiseSource } from "./secureRandom.ts";
import type { GradientMode } from "./streaming.ts";

/** What a plan is carried out with. Everything here is public, but for the state of the noise source. */
export interface EngineOptions {
	/** What trains: its parameters are the trained ones, its step is taken with the noisy mean gradient. */
	readonly optimizer: Optimizer;
	/**
	 * Declares the frozen weights and buffers of the model public: they must not come from the private records. Without it a loss
	 * reads trained parameters only.
	 */
	readonly model?: PublicState | undefined;
	/** Rows of one physical batch: a matter of memory and speed, not of privacy. 8 when left out. */
	readonly physicalBatchSize?: number | undefined;
	/** Whether the gradients of single records are held: a matter of memory and speed, not of privacy. "auto" when left out. */
	readonly gradients?: GradientMode | undefined;
	/** Whether physical batches are replayed: a matter of speed, not of privacy. "checked" when left out. */
	readonly replay?: ReplayMode | undefined;
	/**
	 * Source of sampling and noise; `secureNoise()` when left out. With another one the run is not private, and its statement says
	 * so.
	 */
	readonly noise?: NoiseSource | undefined;
	/** Key of the dropout masks, one a step and record; `key(0)` when left out. Noise and sampling do not come from it. */
	readonly key?: Key | undefined;
	/** Where each step is noted before it is taken, and what other runs have spent is read. */
	readonly ledger?: LedgerUse | undefined;
	/**
	 * Of a run that goes on (`fromState`): what `privateState()` gave, at any time. A run of random allocation or of bins does not go on without.
	 */
	readonly privateState?: PrivateState | undefined;
	/**
	 * Check in every k-th step that records stay apart, beside the first step in which two records meet under a program; only there
	 * when left out. A check runs one physical batch again, up to twice.
	 */
	readonly selfCheckEvery?: number | undefined;
}

/** What `PrivacyEngine.makePrivateWithEpsilon` needs: a plan for a target ε, and what carries it out. */
export type PrivacyEngineOptions = EngineOptions & PlanSettings & Duration & TargetEpsilon;

/** What `PrivacyEngine.makePrivate` needs: a plan with given noise, and what carries it out. */
export type MakePrivateOptions = EngineOptions & PlanSettings & Duration & GivenNoise;
