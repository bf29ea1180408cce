import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { versionOf } from "./environment.ts";

const FOLDER = fileURLToPath(new URL("../../out/bench-peers/", import.meta.url));

interface Peer {
	readonly name: string;
	readonly script: string;
	readonly packages: Readonly<Record<string, string>>;
	readonly flags?: readonly string[];
}

/** The rivals, of the versions that results are told of. */
const PEERS: readonly Peer[] = [
	{ name: "jax-js", script: "jax.ts", packages: { "@jax-js/jax": "0.1.25", "core-js": "3.45.1" } },
	{ name: "tfjs", script: "tfjs.ts", packages: { "@tensorflow/tfjs": "4.22.0", "@tensorflow/tfjs-backend-webgpu": "4.22.0" } },
	// Without the flag V8 compiles its 20 MB of WebAssembly twice, in half a minute.
	{ name: "onnxruntime-web", script: "ort.ts", packages: { "onnxruntime-web": "1.30.0" }, flags: ["--liftoff-only"] },
];

const isInstalled = (folder: string, [name, version]: readonly [string, string]): boolean => {
	const file = join(folder, "node_modules", name, "package.json");
	return existsSync(file) && versionOf(name, folder) === version;
};

/** Installs each rival in a folder of its own, so that one that cannot be had does not keep the others away. */
export function install(peers = PEERS, root = FOLDER) {
	const failed: string[] = [];
	const found = peers.flatMap(({ name, script, packages, flags }) => {
		const folder = join(root, name);
		try {
			const missing = () => Object.entries(packages).find((p) => !isInstalled(folder, p));
			if (missing() !== undefined) npmInstall(folder, packages);
			const still = missing();
			if (still !== undefined) throw new Error(`npm left ${still.join(" ")} out`);
		} catch (error) {
			failed.push(`${name} cannot be installed: ${(error as Error).message}`);
			return [];
		}
		const path = fileURLToPath(new URL(`../contenders/${script}`, import.meta.url));
		return [{ name, script: path, args: ["--packages", folder], ...(flags === undefined ? {} : { flags }) }];
	});
	return { peers: found, failed };
}

/** Settings of npm that say where packages come from. All others that a caller has, as how much npm says, are not for us. */
const PLACES = /^npm_config_(registry|cache|userconfig|globalconfig|(https?_)?proxy|noproxy|cafile|strict_ssl)$/i;

/** @throws Error with npm's own words, or with how it ended. */
function npmInstall(folder: string, packages: Peer["packages"]): void {
	mkdirSync(folder, { recursive: true });
	writeFileSync(join(folder, "package.json"), JSON.stringify({ private: true, dependencies: packages }, null, "\t"));
	const flags = ["--loglevel=error", "--no-audit", "--no-fund", "--prefer-offline", "--ignore-scripts"];
	const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^npm_config_/i.test(name) || PLACES.test(name)));
	const ended = spawnSync("npm", ["install", ...flags], { cwd: folder, env, encoding: "utf8", shell: process.platform === "win32" });
	if (ended.status !== 0) throw new Error(faultOf(ended));
}

/** How a program ended. */
export interface Ended {
	/** Exit code; null where a signal ended it, or it never began. */
	readonly status: number | null;
	readonly signal: string | null;
	readonly stdout: string | null;
	readonly stderr: string | null;
	/** Why it never began. */
	readonly error?: Error | undefined;
}

/** Why npm did not do its work, in one line: its own words, else how it ended. */
export function faultOf({ status, signal, stdout, stderr, error }: Ended): string {
	const lines = [stderr, stdout].flatMap((text) => (text ?? "").split("\n")).filter((line) => line.trim() !== "");
	const words = lines.find((line) => line.includes("rror")) ?? lines[0];
	if (words !== undefined) return words;
	if (error !== undefined) return `npm did not begin: ${error.message}`;
	return signal === null ? `npm ended with code ${status} and said nothing` : `npm was ended by ${signal} and said nothing`;
}
