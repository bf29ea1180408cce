import { basename } from "node:path";
import type { NoiseSource } from "@hushgrad/dp";
import { fileLedger } from "@hushgrad/dp/files";
import type { Device } from "@hushgrad/tensor";
import { writeReport } from "../report/writeReport.ts";
import { type Settings, settingsText } from "../settings/settings.ts";
import { newestCheckpoint } from "./checkpoint.ts";
import { checkFree, claimFolder } from "./claim.ts";
import { isDeviceLoss, stopped } from "./errors.ts";
import { evaluateOnce } from "./evaluations.ts";
import type { RunEvent } from "./events.ts";
import { checkIdentity, hashBase, identityOf } from "./identity.ts";
import { Keeper } from "./keeper.ts";
import { checkLedger } from "./ledgerPlace.ts";
import { type Prepared, prepare } from "./prepare.ts";
import { requestGpu } from "./requestGpu.ts";
import { settingsOfRun } from "./runFolder.ts";
import { openSession, type SessionOptions } from "./session.ts";
import { takeSteps } from "./steps.ts";

/** How a run is carried out. None of it changes what comes out, but `noise`. */
export interface RunOptions {
	/** Is told what happens. */
	readonly onEvent?: ((event: RunEvent) => void) | undefined;
	/** Once aborted, the run finishes its step, saves and ends: `RunResult.isFinished` is false. */
	readonly signal?: AbortSignal | undefined;
	/** For research: a source of noise that is not `secureNoise()`. The run is not private, and its statement says so. */
	readonly noise?: NoiseSource | undefined;
	/** Opens the GPU that the settings name; by `requestDevice` when left out. */
	readonly openDevice?: ((gpu?: string) => Promise<Device>) | undefined;
}

/** What a run has come to. */
export interface RunResult {
	/** Its folder; `runFiles` names what lies in it. */
	readonly folder: string;
	/** Steps counted. */
	readonly steps: number;
	/** Whether all of them were taken; not, where it was interrupted. */
	readonly isFinished: boolean;
	/** What is guaranteed. */
	readonly statement: string;
}

/** A device that is lost again within so many milliseconds ends the run: it would be lost for ever. */
const LOST_AGAIN = 600_000;

/** A run that was read, checked and planned, and has its folder: it may begin. */
export interface ReadyRun {
	/** What it needs. */
	readonly prepared: Prepared;
	/** Opens the GPU and takes the steps; errors as of `train`. */
	readonly start: () => Promise<RunResult>;
}

/**
 * Fine-tunes a model with LoRA, with differential privacy or without, by `settings`, into the folder `settings.output`. All is checked and
 * claimed before the GPU is opened; from then on the run can be resumed, whatever happens. A device that is lost is opened again, once in
 * ten minutes, and the run goes on from its last checkpoint.
 * @throws RunError that says how to go on; before anything was begun FormatError, ValueError, PrivacyError and RunError for data, model,
 * settings and folder that do not do.
 */
export const train = async (settings: Settings, options: RunOptions = {}): Promise<RunResult> =>
	(await prepareTrain(settings, options)).start();

/**
 * Goes on with the run of a folder, from its newest checkpoint that is whole. Data, base, settings and code must be what they were. Steps
 * that were taken after the checkpoint stay spent; a run without secure noise repeats them, bit for bit.
 * @throws RunError (`run/changed`, `run/checkpoints`), and as `train`; FormatError for a folder without a run.
 */
export const resume = async (folder: string, options: RunOptions = {}): Promise<RunResult> =>
	(await prepareResume(folder, options)).start();

/** The part of `train` that takes no GPU. */
export async function prepareTrain(settings: Settings, options: RunOptions = {}): Promise<ReadyRun> {
	const folder = settings.output;
	await checkFree(folder);
	if (settings.private) await checkLedger(settings.ledger);
	options.onEvent?.({ kind: "preparing" });
	const prepared = await prepare(settings, isResearch(options));
	const claim = await claimFolder(folder, settingsText(settings), bytesOf(prepared));
	const start = async (): Promise<RunResult> => {
		let keeper: Keeper | undefined;
		try {
			keeper = await keeperOf(folder, prepared, options);
			return await carryOut(keeper, options);
		} catch (error) {
			if (keeper?.saved === undefined) await claim.release();
			throw error;
		}
	};
	return { prepared, start };
}

/** The part of `resume` that takes no GPU. */
export async function prepareResume(folder: string, options: RunOptions = {}): Promise<ReadyRun> {
	const settings = { ...(await settingsOfRun(folder)), output: folder };
	if (settings.private) await checkLedger(settings.ledger);
	options.onEvent?.({ kind: "preparing" });
	const prepared = await prepare(settings, isResearch(options));
	return { prepared, start: async () => carryOut(await keeperOf(folder, prepared, options), options) };
}

const isResearch = ({ noise }: RunOptions): boolean => noise?.secure === false;

/** Bytes that a run writes, at most at a time: three checkpoints of parameters and two moments, two adapters, and the rest. */
const bytesOf = ({ trained }: Prepared): number => 4 * trained * (3 * 3 + 2) + 2 ** 20;

async function keeperOf(folder: string, prepared: Prepared, { onEvent }: RunOptions): Promise<Keeper> {
	const base = await hashBase(prepared.settings.model, (done, total) => onEvent?.({ kind: "checking", done, total }));
	return new Keeper(folder, prepared, identityOf(prepared.settings, prepared.fingerprint, base));
}

/** Takes all steps that are left, on one device after the other, with the ledger held. */
async function carryOut(keeper: Keeper, options: RunOptions): Promise<RunResult> {
	const { plan, settings } = keeper.prepared;
	const file = plan && (await fileLedger(settings.ledger));
	const tell = (event: RunEvent): void => options.onEvent?.(event);
	const how = { ...options, ledger: file?.ledger, tell };
	let lost = Number.NEGATIVE_INFINITY;
	try {
		for (;;) {
			try {
				return await onDevice(keeper, how);
			} catch (error) {
				const { saved, folder } = keeper;
				if (saved === undefined) throw error;
				const now = performance.now();
				if (!isDeviceLoss(error) || now - lost < LOST_AGAIN) throw stopped(error, { folder, saved });
				lost = now;
				tell({ kind: "warning", message: `the GPU was lost; opening it again and going on from step ${saved}` });
			}
		}
	} finally {
		await file?.close();
	}
}

/** The run on one device: from its newest checkpoint, or from the start, as far as it comes. */
async function onDevice(keeper: Keeper, options: RunOptions & SessionOptions): Promise<RunResult> {
	const { prepared, folder } = keeper;
	const { tell, openDevice = requestGpu } = options;
	const found = await newestCheckpoint(keeper.files.checkpoints);
	for (const message of found?.warnings ?? []) tell({ kind: "warning", message });
	const from = found?.checkpoint;
	if (from !== undefined) checkIdentity(from.state.identity, keeper.identity, folder);
	tell({ kind: "opening" });
	const device = await openDevice(prepared.settings.gpu);
	try {
		const session = await openSession(device, prepared, options, from);
		const { training } = session;
		await keeper.begin(session, from?.state.step);
		const lost = training.steps - (from?.state.step ?? 0);
		if (lost > 0) tell({ kind: "warning", message: lostSteps(lost, training.steps, basename(from?.folder ?? "")) });
		const isFinished =
			(await evaluateOnce(session, keeper, "before", options)) &&
			(await takeSteps(session, keeper, options)) &&
			(await evaluateOnce(session, keeper, "after", options));
		await writeReport(folder);
		return { folder, steps: training.steps, isFinished, statement: training.statement() };
	} finally {
		device.destroy();
	}
}

const lostSteps = (lost: number, steps: number, checkpoint: string): string =>
	`${lost} steps after ${checkpoint} were begun and not saved; they stay spent, so the run goes on with step ${steps + 1}`;
