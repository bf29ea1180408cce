/**
 * Makes sure that Dawn finds a WebGPU adapter. Silent and without effect where there is one; otherwise installs Mesa's
 * software Vulkan driver (Debian and Ubuntu, root or password-less sudo), or says what to type and fails.
 */
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { driverPlan, parseOsRelease, scriptOf } from "./driver-plan.mjs";

const FOUND = 0;
const UNLOADABLE = 4;

/** Asks in a process of its own: Dawn looks for drivers only once, and may abort. Anything but the two above means none. */
function askDawn() {
	const question = `const { create } = await import("webgpu").catch((error) => {
			console.error(error.message);
			process.exit(${UNLOADABLE});
		});
		const adapter = await create([]).requestAdapter();
		process.exit(adapter === null ? 3 : ${FOUND});`;
	const args = ["--input-type=module", "-e", question];
	const { status, stderr } = spawnSync(process.execPath, args, { cwd: import.meta.dirname, encoding: "utf8", timeout: 60_000 });
	return { status, said: stderr };
}

const readIfThere = (/** @type {string} */ path) => (existsSync(path) ? readFileSync(path, "utf8") : "");

function readAptSources() {
	const parts = "/etc/apt/sources.list.d";
	const names = existsSync(parts) ? readdirSync(parts).filter((name) => /\.(list|sources)$/.test(name)) : [];
	return ["/etc/apt/sources.list", ...names.map((name) => join(parts, name))].map(readIfThere).join("\n");
}

/** @returns {import("./driver-plan.mjs").Facts} */
function look(/** @type {boolean} */ hasAdapter) {
	const isRoot = process.getuid?.() === 0;
	return {
		hasAdapter,
		system: parseOsRelease(readIfThere("/etc/os-release")),
		aptSources: readAptSources(),
		isRoot,
		hasSudo: !hasAdapter && !isRoot && spawnSync("sudo", ["-n", "true"], { stdio: "ignore" }).status === 0,
		isForbidden: process.env.HUSHGRAD_NO_DRIVER_INSTALL === "1",
	};
}

function main() {
	const { status, said } = askDawn();
	if (status === UNLOADABLE) {
		console.error(`The npm package webgpu could not be loaded (${said.split("\n")[0]}); type: npm ci`);
		return 1;
	}
	const plan = driverPlan(look(status === FOUND));
	if (plan.kind === "none") return 0;
	console.error(`Dawn finds no WebGPU adapter; ${plan.reason}${plan.commands.length > 0 && plan.kind === "tell" ? ":" : "."}`);
	if (plan.kind === "tell") {
		for (const command of plan.commands) console.error(`  ${command}`);
		return 1;
	}
	const { status: code, stdout, stderr } = spawnSync("sh", ["-c", scriptOf(plan)], { encoding: "utf8" });
	if (code !== 0) {
		console.error(`${stdout}${stderr}\nThe driver could not be installed; the commands were:\n  ${plan.commands.join("\n  ")}`);
		return 1;
	}
	if (askDawn().status === FOUND) return 0;
	console.error("Dawn still finds no adapter; npm run doctor shows what it sees.");
	return 1;
}

process.exit(main());
