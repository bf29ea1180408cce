import { epsilonOneRun, exposure, guessCounts, type NoiseSource, type PrivacyLedger, plantCanaries, randomCanaries } from "@hushgrad/dp";
import type { Example } from "@hushgrad/models";
import type { Device } from "@hushgrad/tensor";
import type { TokenizedRecord } from "../data/tokenizeRecords.ts";
import { summedLosses } from "../evaluation/losses.ts";
import type { RunEvent } from "../run/events.ts";
import type { Prepared } from "../run/prepare.ts";
import { requestGpu } from "../run/requestGpu.ts";
import { openSession } from "../run/session.ts";
import type { AuditResult } from "./auditResult.ts";

/** How a run is audited. */
export interface AuditOptions {
	/** Made-up records, of which a coin takes each into training; 200 when left out. */
	readonly canaries?: number | undefined;
	/** Whether the records of the run are trained on, too. They pay for it: the copy spends the ε of the run once more. False when left out. */
	readonly withData?: boolean | undefined;
	/** Where the steps are noted that spend ε; needed with the data. */
	readonly ledger?: PrivacyLedger | undefined;
	/** Seed of the canaries and of the coins. It has to be another one than that of the run; 1 more when left out. */
	readonly seed?: number | undefined;
	/** The probability with which the lower bound may be wrong; 0.05 when left out. */
	readonly significance?: number | undefined;
	/** Is told what happens. */
	readonly onEvent?: ((event: RunEvent) => void) | undefined;
	/** Once aborted, the audit ends without a result. */
	readonly signal?: AbortSignal | undefined;
	/** Where noise comes from, in place of the platform's generator: of a study that audits the audit. */
	readonly noise?: NoiseSource | undefined;
	/** Opens the GPU that the settings of the run name; by `requestDevice` when left out. */
	readonly openDevice?: ((gpu?: string) => Promise<Device>) | undefined;
}

/** Tokens of a canary, at most. */
const LENGTH = 32;

/**
 * Trains a copy of a run with canaries, texts of random tokens, of which a coin includes each, and guesses from the trained model which were
 * included: by how much training lowered their loss. Gives a lower bound on the ε that was really there (`epsilonOneRun`), and the exposure
 * of the canaries. Undefined where it was interrupted.
 *
 * Without the records of the run the audit touches nothing private and spends no ε: what is guaranteed, is so for any records, canaries among
 * them, and where there are no others they are seen best. After the fact nothing can be told: an adapter that was trained without canaries
 * holds none. Sources: Steinke, Nasr, Jagielski 2023; Carlini et al. 2019.
 */
export async function audit(prepared: Prepared, options: AuditOptions = {}): Promise<AuditResult | undefined> {
	const { canaries: count = 200, withData = false, ledger, noise, significance = 0.05, signal, openDevice = requestGpu } = options;
	const { settings, records, tokenizer, plan } = prepared;
	const seed = options.seed ?? settings.seed + 1;
	const tell = (event: RunEvent): void => options.onEvent?.(event);
	const length = Math.max(1, Math.min(LENGTH, records.size.length - 1, records.size.learned ?? records.size.length));
	const drawn = await randomCanaries({ count, length, vocabSize: tokenizer.vocabSize, seed });
	const texts = drawn.map((ids, i) => canaryOf(ids, i, tokenizer.bosId));
	const planted = plantCanaries<TokenizedRecord, TokenizedRecord>(withData ? records.train : [], texts, { seed });
	const copy: Prepared = { ...prepared, records: { ...records, train: planted.records } };
	tell({ kind: "opening" });
	const device = await openDevice(settings.gpu);
	try {
		const { model, training } = await openSession(device, copy, { ledger: withData ? ledger : undefined, noise, tell });
		const how = { physicalBatchSize: settings.physicalBatchSize, padId: tokenizer.padId };
		const lossesOf = async (of: readonly TokenizedRecord[]) => summedLosses(model, examplesOf(of), how);
		const before = [await lossesOf(planted.included), await lossesOf(planted.excluded)] as const;
		for (let step = 1; step <= settings.steps; step++) {
			if (signal?.aborted === true) return undefined;
			const began = performance.now();
			await training.step();
			const seconds = (performance.now() - began) / 1000;
			tell({
				...{ kind: "step", step, steps: settings.steps, lr: settings.lr, seconds },
				...{ epsilon: plan?.epsilonAfter(step), targetEpsilon: plan?.targetEpsilon },
				tokensPerSecond: (settings.batchSize * settings.maxLength) / seconds,
				peakBytes: device.memory().peakBytes,
			});
		}
		const after = [await lossesOf(planted.included), await lossesOf(planted.excluded)] as const;
		const [included, excluded] = [0, 1].map((i) => (before[i] ?? []).map((loss, n) => loss - (after[i]?.[n] ?? Number.NaN)));
		return resultOf({ included: included ?? [], excluded: excluded ?? [] }, prepared, { significance, withData });
	} finally {
		device.destroy();
	}
}

const examplesOf = (records: readonly TokenizedRecord[]): Example[] => records.map(({ example }) => example);

/** A canary as a record, which belongs to nobody else. */
const canaryOf = (ids: Int32Array, i: number, bosId: number): TokenizedRecord => ({
	record: { prompt: "", response: "", unit: `canary ${i}`, place: i + 1 },
	example: { ids: Int32Array.from([bosId, ...ids]), start: 1 },
});

/** What scores say: how much lower training made the loss of each canary. */
function resultOf(
	scores: { readonly included: ArrayLike<number>; readonly excluded: ArrayLike<number> },
	{ plan, settings: { steps, delta } }: Prepared,
	{ significance, withData }: { readonly significance: number; readonly withData: boolean },
): AuditResult {
	const exposures = exposure(scores);
	const ranks = scores.excluded.length + 1;
	const byChance = Array.from({ length: ranks }, (_, r) => Math.log2(ranks / (r + 1))).reduce((a, b) => a + b, 0) / ranks;
	return {
		canaries: scores.included.length + scores.excluded.length,
		included: scores.included.length,
		...{ withData, steps, delta, significance, epsilon: plan?.epsilon },
		epsilonLower: epsilonOneRun(guessCounts(scores), { delta, significance }),
		exposure: {
			mean: exposures.reduce((a, b) => a + b, 0) / exposures.length,
			most: Math.max(...exposures),
			possible: Math.log2(ranks),
			byChance,
		},
	};
}
