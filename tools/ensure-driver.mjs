/**
 * Makes sure that Dawn finds a WebGPU adapter. Silent and without effect where there is one; otherwise installs Mesa's
 * software Vulkan driver (Debian and Ubuntu, root or password-less sudo), or says what to type and fails.
 */
import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { driverPlan, extraSources, parseOsRelease } from "./driver-plan.mjs";

/** Asks in a process of its own: Dawn looks for drivers only once, and may abort. */
function hasAdapter() {
	const question = `import { create } from "webgpu";
		const adapter = await create([]).requestAdapter();
		process.exit(adapter === null ? 3 : 0);`;
	return spawnSync(process.execPath, ["--input-type=module", "-e", question], { cwd: import.meta.dirname, stdio: "ignore" }).status === 0;
}

/**
 * A folder with the system's apt sources and ours, and room for package lists of their own.
 * @param {import("./driver-plan.mjs").System} system
 */
function prepareSources(system) {
	const folder = mkdtempSync(join(tmpdir(), "hushgrad-apt-"));
	const parts = join(folder, "parts");
	mkdirSync(join(folder, "lists", "partial"), { recursive: true });
	if (existsSync("/etc/apt/sources.list.d")) cpSync("/etc/apt/sources.list.d", parts, { recursive: true });
	else mkdirSync(parts);
	const extra = extraSources(system);
	if (extra.length > 0) writeFileSync(join(parts, "hushgrad.list"), `${extra.join("\n")}\n`);
	return folder;
}

/**
 * Runs apt's commands; false, after printing what the failing one said, when one fails.
 * @param {import("./driver-plan.mjs").Plan["commands"]} commands
 */
function run(commands) {
	for (const [program, ...args] of commands) {
		const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
		const { status, stdout, stderr, error } = spawnSync(program, args, { encoding: "utf8", env });
		if (status === 0) continue;
		console.error(`${[program, ...args].join(" ")} failed:\n${error?.message ?? stdout + stderr}`);
		return false;
	}
	return true;
}

function main() {
	if (hasAdapter()) return 0;
	const system = parseOsRelease(existsSync("/etc/os-release") ? readFileSync("/etc/os-release", "utf8") : "");
	const isRoot = process.getuid?.() === 0;
	const facts = {
		system,
		isRoot,
		hasSudo: !isRoot && spawnSync("sudo", ["-n", "true"], { stdio: "ignore" }).status === 0,
		isForbidden: process.env.HUSHGRAD_NO_DRIVER_INSTALL === "1",
	};
	const sources = driverPlan(facts, "").kind === "install" ? prepareSources(system) : "/tmp/hushgrad-apt";
	const plan = driverPlan(facts, sources);
	console.error(`Dawn finds no WebGPU adapter; ${plan.reason}.`);
	if (plan.kind === "tell") {
		if (plan.commands.length > 0) console.error(byHand(system, sources, plan.commands));
		return 1;
	}
	try {
		if (!run(plan.commands)) return 1;
	} finally {
		rmSync(sources, { recursive: true, force: true });
	}
	if (hasAdapter()) return 0;
	console.error("Dawn still finds no adapter; npm run doctor shows what it sees.");
	return 1;
}

/**
 * Exact lines to type. They leave the system's package sources as they are.
 * @param {import("./driver-plan.mjs").System} system
 * @param {string} sources
 * @param {import("./driver-plan.mjs").Plan["commands"]} commands
 */
function byHand(system, sources, commands) {
	const sudo = commands[0][0] === "sudo" ? "sudo " : "";
	const lines = [
		`  ${sudo}mkdir -p ${sources}/lists/partial && ${sudo}cp -r /etc/apt/sources.list.d ${sources}/parts`,
		...extraSources(system).map((line) => `  echo "${line}" | ${sudo}tee ${sources}/parts/hushgrad.list`),
		...commands.map((c) => `  ${c.join(" ")}`),
		`  ${sudo}rm -r ${sources}`,
	];
	return lines.join("\n");
}

process.exit(main());
