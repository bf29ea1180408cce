/**
 * Makes sure that Dawn finds a WebGPU adapter. Silent and without effect where there is one; otherwise installs Mesa's
 * software Vulkan driver by apt (Debian and Ubuntu, root or password-less sudo) after a line that says so, or says what to
 * type and fails. HUSHGRAD_NO_INSTALL=1 forbids installing.
 */
import { spawnSync } from "node:child_process";
import { driverPlan } from "./driver-plan.mjs";
import { readFlags } from "./flags.mjs";
import { carryOut, look } from "./install.mjs";

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

function main() {
	readFlags("npm run driver   installs a software driver where Dawn finds no GPU (Debian, Ubuntu)", {});
	const { status, said } = askDawn();
	if (status === UNLOADABLE) {
		console.error(`The npm package webgpu could not be loaded (${said.split("\n")[0]}); type: npm ci`);
		return 1;
	}
	const plan = driverPlan(look(status === FOUND));
	if (plan.kind === "none") return 0;
	if (!carryOut("Dawn finds no WebGPU adapter", plan)) return 1;
	if (askDawn().status === FOUND) return 0;
	console.error("Dawn still finds no adapter; npm run doctor shows what it sees.");
	return 1;
}

process.exit(main());
