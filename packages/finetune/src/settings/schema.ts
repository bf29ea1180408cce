import { z } from "zod";

/** A number above 0. */
const positive = () => z.number().positive();
/** A whole number, 1 or more. */
const count = () => z.int().min(1);
/** A whole number, 0 or more. */
const whole = () => z.int().min(0);
/** A number from 0 to below 1. */
const fraction = () => z.number().min(0).lt(1);

/** Where a setting is explained: the sections of `--help`, of a settings file and of a report. */
export type Section = "data" | "model" | "privacy" | "training" | "output";

/** The linear layers of a VaultGemma. */
const PROJECTIONS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"] as const;

const about = (section: Section, description: string) => ({ section, description });

/**
 * Every setting of a run, once: its type, its bounds, its default and what it means. The flags of the command line, the settings file, its
 * JSON schema, the help texts and the type `Settings` all follow from it. A setting without a default has one that follows from the model
 * or the data (`defaultsFor`), or must be given. A name is written in kebab-case in a file and on the command line: `maxGradNorm` is
 * `--max-grad-norm` and `max-grad-norm:`.
 */
export const settingsSchema = z.strictObject({
	data: z.string().min(1).meta(about("data", "file with the records: .json, .jsonl, .csv, .tsv or .parquet")),
	prompt: z
		.string()
		.min(1)
		.optional()
		.meta(about("data", "what the model is asked: a column, or a text with {{ columns }}; found by name when left out")),
	response: z.string().min(1).optional().meta(about("data", "what it should answer: a column, or a text with {{ columns }}")),
	template: z
		.string()
		.min(1)
		.default("gemma")
		.meta(about("data", "how both become a text: gemma (turns of a chat), plain (Instruction and Response), or a chat template in Jinja")),
	tooLong: z
		.enum(["stop", "drop", "cut"])
		.default("stop")
		.meta(about("data", "what becomes of a record with more tokens than max-length: all stops, it is left out, its end is cut off")),
	broken: z
		.enum(["stop", "drop"])
		.default("stop")
		.meta(about("data", "what becomes of a record without prompt or response: all stops, or it is left out")),
	heldOut: fraction().default(0.1).meta(about("data", "share of the records kept for evaluation, chosen by a hash of each record")),
	maxLength: count().optional().meta(about("data", "tokens of a record, prompt and response together; all are padded to it")),
	maxResponse: count().optional().meta(about("data", "tokens that the response may have of them")),

	model: z.string().min(1).meta(about("model", "folder with config.json, *.safetensors and tokenizer.model")),
	quantization: z.enum(["nf4", "none"]).default("nf4").meta(about("model", "how linear layers of the base are kept")),
	rank: count().default(8).meta(about("model", "rank r of LoRA")),
	alpha: positive().default(16).meta(about("model", "LoRA's alpha; the update is scaled by alpha / rank")),
	dropout: fraction().default(0.05).meta(about("model", "dropout before LoRA")),
	targetModules: z
		.array(z.enum(PROJECTIONS))
		.min(1)
		.default([...PROJECTIONS])
		.meta(about("model", "linear layers that get an adapter")),

	private: z.boolean().default(true).meta(about("privacy", "train with differential privacy; --no-private compares without")),
	epsilon: positive().default(8).meta(about("privacy", "ε that the whole run may spend")),
	delta: positive().optional().meta(about("privacy", "δ, the probability that the guarantee may fail; below 1 / records")),
	records: count().optional().meta(about("privacy", "number N of records to train on, declared: it is made public")),
	unit: z
		.string()
		.min(1)
		.optional()
		.meta(about("privacy", "column that names whom a record belongs to: all of its records are protected together")),
	maxUnitRecords: count().default(16).meta(about("privacy", "records of one unit that count, at most")),
	maxGradNorm: positive().default(1).meta(about("privacy", "clipping norm C of one record's gradient")),
	sampling: z
		.enum(["random-allocation", "poisson"])
		.default("random-allocation")
		.meta(about("privacy", "how the records of a step are drawn: each once in an epoch, or each step anew")),
	ledger: z
		.string()
		.min(1)
		.optional()
		.meta(about("privacy", "file that keeps what all runs on the same data have spent; beside the data when left out")),

	steps: count().optional().meta(about("training", "training steps; not together with epochs")),
	epochs: positive().optional().meta(about("training", "passes over the records")),
	batchSize: count().optional().meta(about("training", "mean number of records in a step")),
	physicalBatchSize: count().optional().meta(about("training", "records on the GPU at a time; changes memory, not privacy")),
	lr: positive().optional().meta(about("training", "learning rate of AdamW, the highest")),
	schedule: z.enum(["constant", "cosine"]).default("constant").meta(about("training", "of the learning rate")),
	warmupSteps: whole().default(0).meta(about("training", "steps of linear warm-up before a cosine")),
	beta1: fraction().default(0).meta(about("training", "momentum of AdamW; with none the noise of all steps weighs alike")),
	weightDecay: z.number().min(0).default(0).meta(about("training", "decoupled weight decay")),
	gradientCheckpointing: z
		.boolean()
		.default(false)
		.meta(about("training", "compute each layer again for its gradient: less memory, more time, the same result")),
	seed: whole().default(0).meta(about("training", "of the split, LoRA's start and the dropout; never of the privacy noise")),
	saveEvery: count().optional().meta(about("training", "steps between two checkpoints")),

	output: z
		.string()
		.min(1)
		.optional()
		.meta(about("output", "folder of the run: adapter, checkpoints, statement, report; must not exist or be empty")),
	privateLosses: z.boolean().default(false).meta(about("output", "show and keep the losses of private records, which ε does not cover")),
});

/** The name of a setting. */
export type SettingName = keyof typeof settingsSchema.shape;
