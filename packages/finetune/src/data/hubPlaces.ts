import { readdir, readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";

/** Environment variables of Hugging Face's own tools. */
export type HubEnvironment = Readonly<Record<string, string | undefined>>;

const home = ({ HF_HOME, XDG_CACHE_HOME }: HubEnvironment): string =>
	HF_HOME ?? join(XDG_CACHE_HOME ?? join(homedir(), ".cache"), "huggingface");

/** Where downloads are kept (HF_HUB_CACHE, HF_HOME). */
export const hubCache = (environment: HubEnvironment): string => environment.HF_HUB_CACHE ?? join(home(environment), "hub");

/** A token of the Hub, and where it was found. It is never shown. */
export interface HubToken {
	/** What is sent. */
	readonly token: string;
	/** "HF_TOKEN", or the file that a login wrote. */
	readonly from: string;
}

/** The token of HF_TOKEN, or that of a login by Hugging Face's own tools; undefined without one. */
export async function hubToken(environment: HubEnvironment): Promise<HubToken | undefined> {
	const { HF_TOKEN, HF_TOKEN_PATH } = environment;
	const path = HF_TOKEN_PATH ?? join(home(environment), "token");
	const [text, from] = HF_TOKEN === undefined ? [await readFile(path, "utf8").catch(() => ""), path] : [HF_TOKEN, "HF_TOKEN"];
	return text.trim() === "" ? undefined : { token: text.trim(), from };
}

/** Whether downloads are forbidden. */
export const isOffline = ({ HF_HUB_OFFLINE }: HubEnvironment): boolean =>
	HF_HUB_OFFLINE !== undefined && ["1", "true", "yes", "on"].includes(HF_HUB_OFFLINE.toLowerCase());

/** What this machine has for the Hub. */
export interface HubPlaces {
	/** Folder of the downloads. */
	readonly cache: string;
	/** Data sets in it. */
	readonly dataSets: number;
	/** Where a token was found, which is not told; null without one. */
	readonly tokenFrom: string | null;
	/** Whether HF_HUB_OFFLINE forbids downloads. */
	readonly isOffline: boolean;
}

/** Looks for what there is for the Hub; no network. */
export async function findHubPlaces(environment: HubEnvironment = process.env): Promise<HubPlaces> {
	const cache = hubCache(environment);
	const names = await readdir(cache).catch(() => []);
	const dataSets = names.filter((name) => name.startsWith("datasets--")).length;
	return { cache, dataSets, tokenFrom: (await hubToken(environment))?.from ?? null, isOffline: isOffline(environment) };
}
