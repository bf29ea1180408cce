import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import {
	checkAdapter,
	fromPretrained,
	loadAdapter,
	openCheckpoint,
	readConfig,
	readGenerationConfig,
	SentencePieceTokenizer,
	VaultGemmaForCausalLM,
} from "@hushgrad/models";
import { type Device, FormatError } from "@hushgrad/tensor";
import { type TextForm, textForm } from "../data/textForm.ts";
import { noAdapter, RunError } from "../run/errors.ts";
import type { RunEvent } from "../run/events.ts";
import { hashBase } from "../run/identity.ts";
import { runFiles } from "../run/runFolder.ts";
import { checkModelFolder } from "../settings/modelFolder.ts";
import { readSettingsFrom } from "../settings/settings.ts";

/** Where a model that answers lies: a base, and an adapter on it. */
export interface Tuned {
	/** Folder of the base. */
	readonly base: string;
	/** Folder of the adapter; undefined for the base itself. */
	readonly adapter?: string | undefined;
	/** How prompts become tokens. */
	readonly template: string;
	/** How linear layers of the base are held. */
	readonly quantization: "nf4" | "none";
	/** SHA-256 of the base that the adapter was trained on, where it is known. */
	readonly baseHash?: string | undefined;
}

/** What may be named in place of what a run says. */
export interface TunedOptions {
	/** Folder of the base. */
	readonly model?: string | undefined;
	/** Folder of another adapter, or of another run. */
	readonly adapter?: string | undefined;
	/** How prompts become tokens: as in training. */
	readonly template?: string | undefined;
}

const CONFIG = "adapter_config.json";

const isFile = (path: string): Promise<boolean> =>
	stat(path).then(
		(s) => s.isFile(),
		() => false,
	);

/**
 * What lies in a folder: a run, whose adapter is meant, an adapter, or a model.
 * @throws FormatError for a folder that is none of them; RunError for a run without an adapter.
 */
export async function findTuned(folder: string, options: TunedOptions = {}): Promise<Tuned> {
	const found = await inFolder(folder);
	const other = options.adapter === undefined ? undefined : await inFolder(options.adapter);
	const { model = found.base, template = found.template } = options;
	return { ...found, base: model, template, ...(other && { adapter: other.adapter, baseHash: other.baseHash }) };
}

async function inFolder(folder: string): Promise<Tuned> {
	const files = runFiles(folder);
	if (await isFile(files.settings)) {
		const { model, template, quantization } = await readSettingsFrom(files.settings);
		if (await isFile(join(files.adapter, CONFIG))) {
			return { base: model, adapter: files.adapter, template, quantization, baseHash: await baseHashOf(folder) };
		}
		throw noAdapter(folder);
	}
	if (await isFile(join(folder, CONFIG))) {
		const above = join(folder, "..");
		if (await isFile(runFiles(above).settings)) return inFolder(above);
		return { base: await baseOf(folder), adapter: folder, template: "gemma", quantization: "nf4" };
	}
	if (await isFile(join(folder, "config.json"))) return { base: folder, template: "gemma", quantization: "nf4" };
	throw new FormatError("run/folder", "there is no run, no adapter and no model in this folder", {
		path: folder,
		hint: "name a folder that hushgrad train made, one with adapter_config.json, or one with config.json",
	});
}

async function baseHashOf(run: string): Promise<string | undefined> {
	const text = await readFile(runFiles(run).environment, "utf8").catch(() => "{}");
	return (JSON.parse(text) as { readonly sha256?: { readonly base?: string } }).sha256?.base;
}

async function baseOf(folder: string): Promise<string> {
	const config: unknown = JSON.parse(await readFile(join(folder, CONFIG), "utf8"));
	const name = typeof config === "object" && config !== null ? Reflect.get(config, "base_model_name_or_path") : undefined;
	if (typeof name === "string" && name !== "") return name;
	throw new FormatError("adapter/base", "the adapter does not name its base", { path: folder, hint: "name its folder with --model" });
}

/**
 * Looks, without a GPU, whether what answers can be loaded: the base is whole, the adapter fits it and the template can be used.
 * @throws FormatError, and ValueError for the template, where not.
 */
export async function checkTuned({ base, adapter, template }: Tuned): Promise<void> {
	await checkModelFolder(base);
	const config = await readConfig(base);
	const weights = await openCheckpoint(base);
	await weights.close();
	// A template is first read when it meets a prompt.
	textForm(await SentencePieceTokenizer.fromFile(join(base, "tokenizer.model")), template).prompt("?");
	if (adapter !== undefined) await checkAdapter(new VaultGemmaForCausalLM(config), adapter);
}

/** A model that answers. */
export interface Answerer {
	/** With the adapter on it. */
	readonly model: VaultGemmaForCausalLM;
	/** Cuts texts. */
	readonly tokenizer: SentencePieceTokenizer;
	/** How prompts become tokens. */
	readonly form: TextForm;
	/** Tokens that end an answer. */
	readonly endIds: readonly number[];
}

/**
 * Refuses another base than the adapter was trained on.
 * @throws RunError (`adapter/other-base`).
 */
export async function checkBase({ base, adapter, baseHash }: Tuned, tell: (event: RunEvent) => void): Promise<void> {
	if (baseHash === undefined || adapter === undefined) return;
	if ((await hashBase(base, (done, total) => tell({ kind: "checking", done, total }))) === baseHash) return;
	throw new RunError("adapter/other-base", `the adapter was trained on another base than the one in ${base}`, {
		path: adapter,
		hint: "name the folder of its base with --model",
	});
}

/** Loads what answers. @throws FormatError where base and adapter do not fit. */
export async function openTuned(device: Device, tuned: Tuned, tell: (event: RunEvent) => void): Promise<Answerer> {
	const { base, adapter, template, quantization } = tuned;
	const isQuantizing = quantization === "nf4";
	const tokenizer = await SentencePieceTokenizer.fromFile(join(base, "tokenizer.model"));
	const form = textForm(tokenizer, template);
	const { eosTokenIds } = await readGenerationConfig(base);
	const model = await fromPretrained(base, {
		device,
		quantization: isQuantizing ? "nf4" : undefined,
		onProgress: ({ loaded, total }) => tell({ kind: "loading", done: loaded, total, isQuantizing }),
	});
	if (adapter !== undefined) await loadAdapter(model, adapter, device);
	return { model, tokenizer, form, endIds: [...new Set([...form.endIds, ...eosTokenIds])] };
}
