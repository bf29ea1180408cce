import { saveAdapter } from "@hushgrad/models";
import { writeFileAtomic } from "@hushgrad/nn/files";
import { writeCheckpoint } from "./checkpoint.ts";
import { environmentOf } from "./environment.ts";
import { StepLines } from "./files.ts";
import type { Identity } from "./identity.ts";
import type { Prepared } from "./prepare.ts";
import { type RunFiles, runFiles } from "./runFolder.ts";
import type { Session } from "./session.ts";
import type { StepOutcome } from "./training.ts";

const json = (value: unknown): string => `${JSON.stringify(value, undefined, "\t")}\n`;

/** Writes what a run leaves in its folder. */
export class Keeper {
	/** Where all of it lies. */
	readonly files: RunFiles;
	/** The folder of the run. */
	readonly folder: string;
	/** What the run needs. */
	readonly prepared: Prepared;
	/** What the run is made of. */
	readonly identity: Identity;
	readonly #metrics: StepLines;
	readonly #privateMetrics: StepLines | undefined;
	/** Step of the last checkpoint; undefined before the first. */
	saved: number | undefined;

	constructor(folder: string, prepared: Prepared, identity: Identity) {
		this.folder = folder;
		this.files = runFiles(folder);
		this.prepared = prepared;
		this.identity = identity;
		this.#metrics = new StepLines(this.files.metrics);
		this.#privateMetrics = prepared.settings.privateLosses ? new StepLines(this.files.privateMetrics) : undefined;
	}

	/**
	 * Writes what is known before the first step, and a checkpoint where there is none. Cuts off what was noted after the step that a run
	 * goes on from, and writes again what is saved after a checkpoint: a process may have ended between the two.
	 */
	async begin(session: Session, from: number | undefined): Promise<void> {
		const { plan, settings } = this.prepared;
		await writeFileAtomic(this.files.environment, json(environmentOf(session.device, this.identity)));
		await writeFileAtomic(this.files.plan, json(plan ?? { private: false, steps: settings.steps }));
		for (const lines of [this.#metrics, this.#privateMetrics]) await lines?.keepUpTo(from ?? 0);
		if (from === undefined) return this.save(session);
		this.saved = from;
		await this.#publish(session);
	}

	/** Notes a step. */
	async note(outcome: StepOutcome, lr: number, seconds: number): Promise<void> {
		await this.#metrics.append({ ...outcome.public, lr });
		await this.#privateMetrics?.append({ step: outcome.public.step, ...outcome.private, seconds });
	}

	/** Writes checkpoint, adapter and statement: what a run goes on from, and what it has come to. */
	async save(session: Session): Promise<void> {
		const { optimizer, training } = session;
		const { steps: updates, tensors } = optimizer.state();
		const state = { version: 1, step: training.steps, updates, identity: this.identity, engine: training.state() } as const;
		const privateState = training.privateState();
		await writeCheckpoint(this.files.checkpoints, { state, privateState }, { vector: optimizer.vector, state: tensors });
		this.saved = training.steps;
		await this.#publish(session);
	}

	/** Writes what others read: the adapter, and what is guaranteed for it. */
	async #publish({ model, training }: Session): Promise<void> {
		await saveAdapter(model, this.files.adapter, this.prepared.lora);
		await writeFileAtomic(this.files.statement, `${training.statement()}\n`);
	}
}
