import { createHash } from "node:crypto";
import { createWriteStream } from "node:fs";
import { access, mkdir, readFile, rename, rm, symlink, writeFile } from "node:fs/promises";
import { dirname, extname, join, relative } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { FormatError } from "@hushgrad/tensor";
import { type HubEnvironment, hubCache, hubToken, isOffline } from "./hubPlaces.ts";

/** A data set of the Hugging Face Hub: `hub:owner/name`, or one file of it, `hub:owner/name/path/in/it.json`. */
interface HubName {
	readonly repository: string;
	readonly file: string | undefined;
}

const FORMATS = [".parquet", ".jsonl", ".json", ".csv", ".tsv"];
const PREFIX = "hub:";

/** Whether data is named as one of the Hub, and not as a file. */
export const isHubName = (data: string): boolean => data.startsWith(PREFIX);

/**
 * The file of a data set of the Hub on this disk, downloaded where it is not there yet. The cache is that of Hugging Face's own tools
 * (HF_HOME, HF_HUB_CACHE), so that nothing is downloaded twice; HF_ENDPOINT, HF_TOKEN and HF_HUB_OFFLINE are theirs as well. Names are
 * sent to the Hub, records are not.
 * @throws FormatError for a name that there is not, one that needs a licence accepted, several files to choose from, and no network.
 */
export async function fromHub(data: string, environment: HubEnvironment = process.env): Promise<string> {
	const { repository, file } = parse(data);
	const folder = join(hubCache(environment), `datasets--${repository.replace("/", "--")}`);
	if (isOffline(environment)) return cached(folder, file, data);
	const hub = new Hub(environment, data);
	const { sha, siblings } = await hub.info(repository);
	const path = choose(siblings, file, data);
	const snapshot = join(folder, "snapshots", sha, path);
	if (await exists(snapshot)) return snapshot;
	await hub.download(`/datasets/${repository}/resolve/${sha}/${encodeURI(path)}`, folder, snapshot);
	await mkdir(join(folder, "refs"), { recursive: true });
	await writeFile(join(folder, "refs/main"), sha);
	return snapshot;
}

const refuse = (message: string, data: string, hint: string, cause?: unknown): never => {
	throw new FormatError("data/hub", message, { path: data, hint, cause });
};

function parse(data: string): HubName {
	const [, repository, file] = /^hub:([\w.-]+\/[\w.-]+)(?:\/(.+))?$/.exec(data) ?? [];
	if (repository === undefined || /(^|\/)\.\.?(\/|$)/.test(`${repository}/${file ?? ""}`)) {
		return refuse("this names no data set of the Hub", data, "write hub:owner/name, or hub:owner/name/file.json");
	}
	return { repository, file };
}

const exists = (path: string): Promise<boolean> =>
	access(path).then(
		() => true,
		() => false,
	);

/** What the last download left. */
async function cached(folder: string, file: string | undefined, data: string): Promise<string> {
	const sha = await readFile(join(folder, "refs/main"), "utf8").catch(() => undefined);
	const hint = "unset HF_HUB_OFFLINE to download it, and name the file: hub:owner/name/file.json";
	if (sha === undefined || file === undefined)
		return refuse("it is not in the cache, or no file of it is named, and HF_HUB_OFFLINE is set", data, hint);
	const path = join(folder, "snapshots", sha.trim(), file);
	return (await exists(path)) ? path : refuse("the file is not in the cache, and HF_HUB_OFFLINE is set", data, hint);
}

/** The one file of records that there is, or the one that is named. */
function choose(names: readonly string[], file: string | undefined, data: string): string {
	const readable = names.filter(
		(name) => FORMATS.includes(extname(name).toLowerCase()) && !/(^|\/)(dataset_infos?|\..*)\.json$/.test(name),
	);
	if (file !== undefined && readable.includes(file)) return file;
	const list = readable.slice(0, 8).join(", ");
	if (file !== undefined)
		return refuse(
			`the data set has no file ${JSON.stringify(file)} of records`,
			data,
			list === "" ? "it has none that can be read" : `it has ${list}`,
		);
	if (readable.length === 1) return readable[0];
	return refuse(
		`the data set has ${readable.length} files of records`,
		data,
		readable.length === 0 ? `expected one of ${FORMATS.join(", ")}` : `name one of them: ${data}/${readable[0]}; it has ${list}`,
	);
}

/** Requests to the Hub. */
class Hub {
	readonly #endpoint: string;
	readonly #environment: HubEnvironment;
	readonly #data: string;

	constructor(environment: HubEnvironment, data: string) {
		this.#endpoint = (environment.HF_ENDPOINT ?? "https://huggingface.co").replace(/\/$/, "");
		this.#environment = environment;
		this.#data = data;
	}

	/** The newest commit, and the names of its files. */
	async info(repository: string): Promise<{ readonly sha: string; readonly siblings: readonly string[] }> {
		const response = await this.#get(`/api/datasets/${repository}`);
		const { sha, siblings } = (await response.json().catch(() => ({}))) as { sha?: unknown; siblings?: { rfilename?: unknown }[] };
		if (typeof sha !== "string" || !/^[0-9a-f]{40}$/.test(sha) || !Array.isArray(siblings)) {
			return refuse("the Hub's answer is not understood", this.#data, `see whether HF_ENDPOINT is right: ${this.#endpoint}`);
		}
		return {
			sha,
			siblings: siblings.flatMap(({ rfilename }) =>
				typeof rfilename === "string" && !rfilename.split("/").includes("..") ? [rfilename] : [],
			),
		};
	}

	/** Downloads to a blob named by its hash, and links it into the snapshot. A download that breaks off leaves nothing that is taken for whole. */
	async download(path: string, folder: string, snapshot: string): Promise<void> {
		const response = await this.#get(path);
		const blobs = join(folder, "blobs");
		await mkdir(blobs, { recursive: true });
		const partial = join(blobs, `${process.pid}.incomplete`);
		const hash = createHash("sha256");
		const length = Number(response.headers.get("content-length") ?? Number.NaN);
		let received = 0;
		const brokenOff = async (why: string, cause?: unknown): Promise<never> => {
			await rm(partial, { force: true });
			return refuse(`the download broke off: ${why}`, this.#data, "try again", cause);
		};
		try {
			const body = Readable.fromWeb(response.body as import("node:stream/web").ReadableStream<Uint8Array>);
			body.on("data", (chunk: Uint8Array) => {
				hash.update(chunk);
				received += chunk.length;
			});
			await pipeline(body, createWriteStream(partial));
		} catch (cause) {
			await brokenOff((cause as Error).message, cause);
		}
		// Of a compressed answer the length is that of the packed bytes.
		if (Number.isFinite(length) && response.headers.get("content-encoding") === null && received !== length)
			await brokenOff(`${received} of ${length} bytes came`);
		// The names that Hugging Face's own tools give: git's hash of a small file, SHA-256 of a large one.
		const [, git] = /^(?:W\/)?"?([0-9a-f]{40})"?$/.exec(response.headers.get("etag") ?? "") ?? [];
		const blob = join(blobs, git ?? hash.digest("hex"));
		await rename(partial, blob);
		await mkdir(dirname(snapshot), { recursive: true });
		await symlink(relative(dirname(snapshot), blob), snapshot);
	}

	async #get(path: string): Promise<Response> {
		const found = await hubToken(this.#environment);
		const headers = found === undefined ? {} : { authorization: `Bearer ${found.token}` };
		const response = await fetch(`${this.#endpoint}${path}`, { headers }).catch((cause: Error) =>
			refuse(
				`the Hub cannot be reached: ${this.#endpoint}`,
				this.#data,
				"see whether there is a network, or download the file by other means and name it with --data",
				cause,
			),
		);
		if (response.ok) return response;
		const address = `${this.#endpoint}/datasets/${this.#data.slice(PREFIX.length)}`;
		if (response.status === 401 || response.status === 403) {
			return refuse(
				"the Hub does not give the data set to you",
				this.#data,
				`accept its licence at ${address}, then set HF_TOKEN to a token of yours`,
			);
		}
		return refuse(
			`the Hub answers ${response.status}`,
			this.#data,
			response.status === 404 ? "there is no such data set, or no such file in it" : "try again later",
		);
	}
}
