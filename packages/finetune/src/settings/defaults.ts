import { basename, extname, join } from "node:path";
import { stepsForEpochs } from "@hushgrad/dp";
import type { VaultGemmaConfig } from "@hushgrad/models";
import { isHubName } from "../data/hub.ts";
import type { DerivedName, GivenSettings, Settings } from "./settings.ts";
import type { Source } from "./sources.ts";

/** What suits a model of up to so many parameters. */
export interface ModelDefaults {
	/** That many. */
	readonly parameters: number;
	/** Learning rate of AdamW, with the noise of differential privacy and without. */
	readonly lr: number;
	readonly plainLr: number;
	/** Tokens of a record. */
	readonly maxLength: number;
	/** Records on the GPU at a time. */
	readonly physicalBatchSize: number;
	/** Records of a step, at most. */
	readonly batchSize: number;
}

/**
 * The small rate is that of VaultGemma 1B on medical flashcards at ε = 2 (batches of 128, rank 8, 256 tokens), and serves without noise, too;
 * the large ones were measured on the shipped model (docs/utility.md), which has 1600 times fewer parameters; those between are their
 * geometric means.
 */
const BY_SIZE: readonly ModelDefaults[] = [
	{ parameters: 10e6, lr: 1e-2, plainLr: 3e-3, maxLength: 80, physicalBatchSize: 16, batchSize: 128 },
	{ parameters: 300e6, lr: 1e-3, plainLr: 5e-4, maxLength: 256, physicalBatchSize: 8, batchSize: 128 },
	{ parameters: Number.POSITIVE_INFINITY, lr: 1e-4, plainLr: 1e-4, maxLength: 256, physicalBatchSize: 4, batchSize: 128 },
];

/** What suits a model of so many parameters. */
export const sizeDefaults = (parameters: number): ModelDefaults => BY_SIZE.find((size) => parameters <= size.parameters) ?? BY_SIZE[0];

/** The learning rate that suits a model of so many parameters. */
export function usualRate(parameters: number, isPrivate: boolean): number {
	const { lr, plainLr } = sizeDefaults(parameters);
	return isPrivate ? lr : plainLr;
}

/** Passes over the records. */
const EPOCHS = 4;

/** The power of ten that is at most a number. */
const powerBelow = (n: number): number => Number(`1e${Math.floor(Math.log10(n))}`);

/** Numbers that a VaultGemma of this shape holds: embedding, and in each layer four projections, the feed-forward part and two norms. */
export function parameterCount(config: VaultGemmaConfig): number {
	const { vocab_size, hidden_size: d, intermediate_size, num_hidden_layers, head_dim } = config;
	const heads = config.num_attention_heads + config.num_key_value_heads;
	const layer = 2 * d * heads * head_dim + 3 * d * intermediate_size + 2 * d;
	return vocab_size * d + num_hidden_layers * layer + d;
}

/** Settings that are whole, and where those come from that were not given. */
export interface Defaults {
	/** All of them. */
	readonly settings: Settings;
	/** Of what was derived. */
	readonly sources: Readonly<Partial<Record<DerivedName, Source>>>;
}

/** What is not given, where it follows from the size of the model and from other settings; `records` is N. */
export function defaultsFor(config: VaultGemmaConfig, given: GivenSettings, records: number): Defaults {
	const size = sizeDefaults(parameterCount(config));
	const sources: Partial<Record<DerivedName, Source>> = {};
	const derive = <N extends DerivedName>(name: N, source: Source, value: NonNullable<GivenSettings[N]>): NonNullable<GivenSettings[N]> => {
		if (given[name] !== undefined) return given[name] as NonNullable<GivenSettings[N]>;
		sources[name] = source;
		return value;
	};
	const model: Source = { from: "model", where: "" };
	const from = (where: string): Source => ({ from: "settings", where });
	const maxLength = derive("maxLength", model, Math.min(size.maxLength, config.max_position_embeddings));
	const batchSize = derive("batchSize", from("records"), Math.max(1, Math.min(size.batchSize, Math.round(records / 4))));
	const epochs = given.epochs ?? EPOCHS;
	const inSteps = Math.max(1, stepsForEpochs(epochs, { datasetSize: records, expectedBatchSize: Math.min(batchSize, records) }));
	const steps = derive("steps", from(given.epochs === undefined ? `${EPOCHS} epochs` : "epochs"), inSteps);
	const name = basename(given.data, extname(given.data));
	const { epochs: _, ...rest } = given;
	const settings: Settings = {
		...rest,
		records: derive("records", from("data"), records),
		delta: derive("delta", from("records"), Math.min(1e-5, powerBelow(1 / (10 * records)))),
		maxLength,
		maxResponse: derive("maxResponse", from("max-length"), Math.max(1, Math.floor(0.8 * maxLength))),
		steps,
		batchSize,
		physicalBatchSize: derive("physicalBatchSize", model, Math.min(size.physicalBatchSize, batchSize)),
		lr: derive("lr", model, usualRate(parameterCount(config), given.private)),
		ledger: derive("ledger", from("data"), isHubName(given.data) ? join("out", `${name}.ledger`) : `${given.data}.ledger`),
		saveEvery: derive("saveEvery", from("steps"), Math.max(1, Math.min(25, Math.floor(steps / 8)))),
		output: derive("output", from("data"), join("out", name)),
	};
	return { settings, sources };
}
