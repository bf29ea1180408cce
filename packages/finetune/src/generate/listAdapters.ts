import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { parseLoraConfig } from "@hushgrad/nn";
import { runFiles } from "../run/runFolder.ts";
import { readSettingsFrom } from "../settings/settings.ts";

/** An adapter that was found. */
export interface FoundAdapter {
	/** Folder of its run, or its own. */
	readonly folder: string;
	/** Folder of its base, as it was named. */
	readonly base: string;
	/** Rank of LoRA. */
	readonly rank: number;
	/** Where it lies in a run: steps taken, and planned. */
	readonly steps?: readonly [taken: number, planned: number] | undefined;
	/** ε that it has spent; undefined without privacy, and for an adapter by itself. */
	readonly epsilon?: number | undefined;
	/** Whether it was trained with differential privacy; undefined where nobody can tell. */
	readonly isPrivate?: boolean | undefined;
}

/** Folders below the one that is named in which adapters are looked for. */
const DEPTH = 3;

/** The runs and adapters in a folder and below it, by name. */
export async function listAdapters(folder: string, depth = DEPTH): Promise<FoundAdapter[]> {
	const entries = await readdir(folder, { withFileTypes: true });
	const names = new Set(entries.filter((e) => e.isFile()).map((e) => e.name));
	if (names.has("settings.json")) return runIn(folder);
	if (names.has("adapter_config.json")) return adapterIn(folder);
	if (depth === 0) return [];
	const below = entries.filter((e) => e.isDirectory() && !e.name.startsWith(".") && e.name !== "node_modules").map((e) => e.name);
	const found = await Promise.all(below.sort().map((name) => listAdapters(join(folder, name), depth - 1).catch(() => [])));
	return found.flat();
}

async function adapterIn(folder: string): Promise<FoundAdapter[]> {
	const path = join(folder, "adapter_config.json");
	const { config } = parseLoraConfig(await readFile(path, "utf8"), path);
	return [{ folder, base: config.base_model_name_or_path ?? "", rank: config.r }];
}

/** A run, also one that has no adapter yet; none where its settings are not those of a run. */
async function runIn(folder: string): Promise<FoundAdapter[]> {
	const files = runFiles(folder);
	const settings = await readSettingsFrom(files.settings).catch(() => undefined);
	if (settings === undefined) return [];
	const { model, rank, steps, private: isPrivate } = settings;
	const lines = (await readFile(files.metrics, "utf8").catch(() => "")).trimEnd().split("\n");
	const last = JSON.parse(lines[lines.length - 1] || "{}") as { readonly step?: number; readonly epsilon?: number };
	return [{ folder, base: model, rank, steps: [last.step ?? 0, steps], epsilon: last.epsilon, isPrivate }];
}
