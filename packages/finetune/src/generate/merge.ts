import { copyFile, mkdir, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { fromPretrained, loadAdapter, saveModel } from "@hushgrad/models";
import { type FloatDType, mergeAdapter } from "@hushgrad/nn";
import type { Device } from "@hushgrad/tensor";
import type { RunEvent } from "../run/events.ts";

/** What belongs to a model beside its weights, and stays what it was. */
const COMPANIONS =
	/^(tokenizer\.model|tokenizer\.json|tokenizer_config\.json|special_tokens_map\.json|generation_config\.json|chat_template\.jinja)$/;

/** What is merged, and how it is written. */
export interface MergeOptions {
	/** Folder of the base. */
	readonly base: string;
	/** Folder of the adapter. */
	readonly adapter: string;
	/** Folder of the whole model, which is made. */
	readonly output: string;
	/** Type of the numbers in the file. */
	readonly dtype: FloatDType;
	/** Is told how far loading is. */
	readonly tell: (event: RunEvent) => void;
}

/**
 * Puts what an adapter has learned into the weights of its base, in f32, and writes the whole model with its tokenizer: W + s B A. An adapter
 * that was trained beside 4-bit weights meets the weights that they were made of. Nothing is left where it fails.
 * @throws as `loadAdapter`, and what the file system does.
 */
export async function mergeInto(device: Device, { base, adapter, output, dtype, tell }: MergeOptions): Promise<void> {
	const model = await fromPretrained(base, {
		device,
		onProgress: ({ loaded, total }) => tell({ kind: "loading", done: loaded, total, isQuantizing: false }),
	});
	await loadAdapter(model, adapter, device);
	mergeAdapter(model);
	const first = await mkdir(output, { recursive: true });
	try {
		for (const name of await readdir(base)) if (COMPANIONS.test(name)) await copyFile(join(base, name), join(output, name));
		await saveModel(model, output, { dtype });
	} catch (error) {
		if (first !== undefined) await rm(first, { recursive: true, force: true });
		throw error;
	}
}
