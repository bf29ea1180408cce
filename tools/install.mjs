/** Carries out a plan of driver-plan.mjs on this machine. */
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { announcement, isInstallForbidden, parseOsRelease, scriptOf } from "./driver-plan.mjs";

const readIfThere = (/** @type {string} */ path) => (existsSync(path) ? readFileSync(path, "utf8") : "");

function readAptSources() {
	const parts = "/etc/apt/sources.list.d";
	const names = existsSync(parts) ? readdirSync(parts).filter((name) => /\.(list|sources)$/.test(name)) : [];
	return ["/etc/apt/sources.list", ...names.map((name) => join(parts, name))].map(readIfThere).join("\n");
}

/** @returns {import("./driver-plan.mjs").Facts} */
export function look(/** @type {boolean} */ isThere) {
	const isRoot = process.getuid?.() === 0;
	return {
		isThere,
		system: parseOsRelease(readIfThere("/etc/os-release")),
		aptSources: readAptSources(),
		isRoot,
		hasSudo: !isThere && !isRoot && spawnSync("sudo", ["-n", "true"], { stdio: "ignore" }).status === 0,
		isForbidden: isInstallForbidden(process.env),
	};
}

/**
 * Installs, after a line that says so, or says what to type. True when something was installed.
 * @param {string} problem @param {import("./driver-plan.mjs").Plan} plan
 */
export function carryOut(problem, plan) {
	console.error(announcement(problem, plan));
	if (plan.kind === "tell") {
		for (const command of plan.commands) console.error(`  ${command}`);
		return false;
	}
	const { status, stdout, stderr } = spawnSync("sh", ["-c", scriptOf(plan)], { encoding: "utf8" });
	if (status !== 0) console.error(`${stdout}${stderr}\nThe installation failed; the commands were:\n  ${plan.commands.join("\n  ")}`);
	return status === 0;
}
