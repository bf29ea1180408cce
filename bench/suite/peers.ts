import { execFileSync } from "node:child_process";
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
			const { stderr } = error as { readonly stderr?: Buffer | string };
			const lines = String(stderr ?? (error as Error).message).split("\n");
			failed.push(`${name} cannot be installed: ${lines.find((line) => line.includes("rror")) ?? lines[0]}`);
			return [];
		}
		const path = fileURLToPath(new URL(`../contenders/${script}`, import.meta.url));
		return [{ name, script: path, args: ["--packages", folder], ...(flags === undefined ? {} : { flags }) }];
	});
	return { peers: found, failed };
}

function npmInstall(folder: string, packages: Peer["packages"]): void {
	mkdirSync(folder, { recursive: true });
	writeFileSync(join(folder, "package.json"), JSON.stringify({ private: true, dependencies: packages }, null, "\t"));
	const flags = ["--no-audit", "--no-fund", "--prefer-offline", "--ignore-scripts"];
	execFileSync("npm", ["install", ...flags], { cwd: folder, stdio: ["ignore", "ignore", "pipe"], shell: process.platform === "win32" });
}
