import { randomUUID } from "node:crypto";
import { chmod, mkdir, open, readdir, readFile, rename, rm, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import type { EngineState, PrivateState } from "@hushgrad/dp";
import type { ParameterVector } from "@hushgrad/nn";
import { loadFile, saveFile } from "@hushgrad/nn/files";
import { assign, type Device, type Tensor } from "@hushgrad/tensor";
import { RunError } from "./errors.ts";
import { hashFiles, syncFolder } from "./files.ts";
import type { Identity } from "./identity.ts";

/** Where a run stands, but for its tensors. */
export interface RunState {
	/** Version of this form. */
	readonly version: 1;
	/** Steps taken. */
	readonly step: number;
	/** Steps that the optimiser has taken: fewer, where some were counted and lost. */
	readonly updates: number;
	/** What the run is made of. */
	readonly identity: Identity;
	/** Where the privacy engine stands; undefined without privacy. */
	readonly engine?: EngineState | undefined;
}

/** A checkpoint that was read back whole. */
export interface Checkpoint {
	/** Its folder. */
	readonly folder: string;
	/** Where the run stood. */
	readonly state: RunState;
	/** What the engine kept for itself. */
	readonly privateState?: PrivateState | undefined;
}

/** What is trained, and what goes on with it. */
export interface TrainedTensors {
	/** The trained numbers. */
	readonly vector: ParameterVector;
	/** State of the optimiser, by name. */
	readonly state: ReadonlyMap<string, Tensor>;
}

const TENSORS = "tensors.safetensors";
const STATE = "state.json";
/** Who is in which step of the epoch: for nobody but this run. */
const PRIVATE = "private.json";
const MANIFEST = "manifest.json";
const PARAMETERS = "parameters";

/** Checkpoints that are kept. */
const KEPT = 2;
const NAME = /^step-(\d+)$/;

interface Manifest {
	readonly files: readonly { readonly name: string; readonly bytes: number; readonly sha256: string }[];
}

/** Checkpoints below a folder, the newest first. */
async function checkpointsIn(parent: string): Promise<{ readonly step: number; readonly folder: string }[]> {
	const names = await readdir(parent).catch(() => []);
	return names
		.flatMap((name) => {
			const [, step] = NAME.exec(name) ?? [];
			return step === undefined ? [] : [{ step: Number(step), folder: join(parent, name) }];
		})
		.sort((a, b) => b.step - a.step);
}

async function writeSynced(path: string, text: string, mode?: number): Promise<void> {
	const file = await open(path, "wx", mode);
	try {
		await file.writeFile(text);
		await file.sync();
	} finally {
		await file.close();
	}
}

/**
 * Writes a checkpoint below `parent`, whole or not at all: under another name, flushed, with the SHA-256 of every file, then renamed. The last two
 * are kept. One of the same step is replaced.
 * @throws What the file system does; the checkpoints before stay.
 */
export async function writeCheckpoint(
	parent: string,
	{ state, privateState }: Omit<Checkpoint, "folder">,
	{ vector, state: moments }: TrainedTensors,
): Promise<void> {
	await mkdir(parent, { recursive: true });
	await removeUnfinished(parent);
	const temporary = join(parent, `.${randomUUID()}`);
	try {
		await mkdir(temporary);
		await saveFile(new Map([[PARAMETERS, vector.tensor], ...moments]), join(temporary, TENSORS));
		await writeSynced(join(temporary, STATE), `${JSON.stringify(state, undefined, "\t")}\n`);
		if (privateState !== undefined) await writeSynced(join(temporary, PRIVATE), JSON.stringify(privateState), 0o600);
		const names = (await readdir(temporary)).sort();
		const files = await Promise.all(
			names.map(async (name) => {
				const path = join(temporary, name);
				return { name, bytes: (await stat(path)).size, sha256: await hashFiles([path]) };
			}),
		);
		await writeSynced(join(temporary, MANIFEST), `${JSON.stringify({ files } satisfies Manifest, undefined, "\t")}\n`);
		await chmod(temporary, 0o700);
		await syncFolder(temporary);
		const folder = join(parent, `step-${String(state.step).padStart(6, "0")}`);
		await rm(folder, { recursive: true, force: true });
		await rename(temporary, folder);
		await syncFolder(parent);
	} catch (error) {
		await rm(temporary, { recursive: true, force: true });
		throw error;
	}
	await removeOthers(parent, state.step);
}

/** Keeps the last checkpoints up to a step: those after it are of a run that went on from before them. */
async function removeOthers(parent: string, step: number): Promise<void> {
	const all = await checkpointsIn(parent);
	const kept = all.filter((c) => c.step <= step).slice(0, KEPT);
	for (const one of all) if (!kept.includes(one)) await rm(one.folder, { recursive: true, force: true });
}

/** Removes what a process that ended was writing. */
async function removeUnfinished(parent: string): Promise<void> {
	for (const name of await readdir(parent)) {
		if (name.startsWith(".")) await rm(join(parent, name), { recursive: true, force: true });
	}
}

/** The newest checkpoint that is whole, and a message for each newer one that is not; undefined where there never was one. */
export async function newestCheckpoint(
	parent: string,
): Promise<{ readonly checkpoint: Checkpoint; readonly warnings: readonly string[] } | undefined> {
	const warnings: string[] = [];
	const all = await checkpointsIn(parent);
	for (const { folder } of all) {
		const fault = await faultOf(folder);
		if (fault === undefined) return { checkpoint: await readCheckpoint(folder), warnings };
		warnings.push(`the checkpoint ${basename(folder)} is not whole: ${fault}; going on from the one before`);
	}
	if (all.length === 0) return undefined;
	throw new RunError("run/checkpoints", `no checkpoint is whole: ${warnings.length} of ${warnings.length} are damaged`, {
		path: parent,
		hint: "restore them from a copy, or begin a new run in another folder; what this one has spent stays in the ledger",
	});
}

async function readCheckpoint(folder: string): Promise<Checkpoint> {
	const read = async (name: string): Promise<unknown> => JSON.parse(await readFile(join(folder, name), "utf8"));
	const hasPrivate = (await readdir(folder)).includes(PRIVATE);
	return {
		folder,
		state: (await read(STATE)) as RunState,
		privateState: hasPrivate ? ((await read(PRIVATE)) as PrivateState) : undefined,
	};
}

/** What is wrong with a checkpoint; undefined where all is as it was written. */
async function faultOf(folder: string): Promise<string | undefined> {
	try {
		const { files } = JSON.parse(await readFile(join(folder, MANIFEST), "utf8")) as Manifest;
		for (const { name, bytes, sha256 } of files) {
			const path = join(folder, basename(name));
			if ((await stat(path)).size !== bytes) return `${name} has not the ${bytes} bytes that were written`;
			if ((await hashFiles([path])) !== sha256) return `${name} is not what was written`;
		}
		return files.some((f) => f.name === STATE) ? undefined : `${STATE} is missing`;
	} catch {
		return `its files cannot be read`;
	}
}

/**
 * Puts the tensors of a checkpoint back: parameters into the vector; gives those of the optimiser, to be loaded and disposed.
 */
export async function restoreTensors(device: Device, { folder }: Checkpoint, vector: ParameterVector): Promise<Map<string, Tensor>> {
	const tensors = await loadFile(device, join(folder, TENSORS));
	const parameters = tensors.get(PARAMETERS);
	tensors.delete(PARAMETERS);
	if (parameters === undefined) throw new RunError("run/checkpoints", `${TENSORS} holds no parameters`, { path: folder });
	device.scope(() => assign(vector.tensor, parameters));
	parameters.dispose();
	return tensors;
}
