import { spawnSync } from "node:child_process";
import { closeSync, cpSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { announcement, browserPlan, driverPlan, isInstallForbidden, parseOsRelease, scriptOf } from "../../tools/driver-plan.mjs";
import { readSources } from "../../tools/sources.ts";

const debian = (version: string) => ({ id: "debian", version });
const facts = { isThere: false, system: debian("12"), aptSources: "", isRoot: true, hasSudo: false, isForbidden: false };
const apt = (commands: readonly string[]) => commands.filter((c) => c.includes("apt-get"));

describe("driverPlan", () => {
	it("does nothing where there is an adapter, whatever the rest", () => {
		expect(driverPlan({ ...facts, isThere: true })).toMatchObject({ kind: "none", commands: [] });
		expect(driverPlan({ ...facts, isThere: true, isForbidden: true, system: parseOsRelease("") }).kind).toBe("none");
	});

	it("takes Debian 12's driver from backports, in folders of its own", () => {
		const { kind, commands } = driverPlan(facts);
		expect(kind).toBe("install");
		expect(apt(commands).length).toBe(2);
		for (const command of apt(commands)) {
			for (const option of ['State::lists="$D/lists"', 'Cache="$D/cache"', 'Etc::sourcelist="$D/sources.list"']) {
				expect(command).toContain(`-o Dir::${option}`);
			}
		}
		expect(apt(commands)[1]).toContain("--no-install-recommends -t bookworm-backports install mesa-vulkan-drivers libvulkan1");
		expect(commands.join("\n")).toContain('echo "deb http://deb.debian.org/debian bookworm-backports main"');
	});

	it("adds backports also where /etc/apt/sources.list does not exist, as on systems with deb822 sources only", () => {
		const list = driverPlan(facts).commands.find((c) => c.includes("echo")) as string;
		const folder = mkdtempSync(join(tmpdir(), "hushgrad-"));
		const absent = list.replace("/etc/apt/sources.list ", `${folder}/absent `);
		const { status } = spawnSync("sh", ["-ec", absent], { env: { ...process.env, D: folder } });
		expect(status).toBe(0);
		expect(readFileSync(join(folder, "sources.list"), "utf8")).toBe("deb http://deb.debian.org/debian bookworm-backports main\n");
		rmSync(folder, { recursive: true });
	});

	it("names backports only once where the system has them, but not for a comment", () => {
		const known = driverPlan({ ...facts, aptSources: "Types: deb\nSuites: bookworm bookworm-backports\n" }).commands.join("\n");
		expect(known).toContain("-t bookworm-backports");
		expect(known).not.toMatch(/sourcelist|echo/);
		expect(driverPlan({ ...facts, aptSources: "# deb http://x bookworm-backports main\n" })).toEqual(driverPlan(facts));
	});

	it.each([debian("13"), debian(""), { id: "ubuntu", version: "24.04" }])("takes the system's own on $id $version", (system) => {
		const { kind, commands } = driverPlan({ ...facts, system });
		expect(kind).toBe("install");
		expect(commands.join("\n")).not.toMatch(/ -t |backports|sourcelist/);
	});

	it("uses sudo only where it needs no password, for all that touches root's files", () => {
		const user = { ...facts, isRoot: false };
		const sudo = driverPlan({ ...user, hasSudo: true });
		expect(sudo.kind).toBe("install");
		for (const command of [...apt(sudo.commands), sudo.commands.at(-1)]) expect(command).toMatch(/^sudo -n /);
		const told = driverPlan(user);
		expect(told.kind).toBe("tell");
		expect(told.commands).toEqual(sudo.commands.map((c) => c.replace("sudo -n ", "sudo ")));
	});

	it("installs nothing when forbidden, but tells the same commands", () => {
		const told = driverPlan({ ...facts, isForbidden: true });
		expect(told.kind).toBe("tell");
		expect(told.commands).toEqual(driverPlan(facts).commands);
	});

	it("installs nothing on another system, or one too old", () => {
		for (const system of [debian("11"), { id: "ubuntu", version: "22.04" }, parseOsRelease("")]) {
			expect(driverPlan({ ...facts, system })).toMatchObject({ kind: "tell", commands: [] });
		}
		const fedora = driverPlan({ ...facts, system: { id: "fedora", version: "42" } });
		expect(fedora).toMatchObject({ kind: "tell", commands: [expect.stringContaining("dnf install mesa-vulkan-drivers")] });
	});
});

describe("browserPlan", () => {
	it("takes Debian's own Chromium, whose package brings SwiftShader", () => {
		for (const system of [debian("12"), debian("13"), debian("")]) {
			const { kind, commands } = browserPlan({ ...facts, system });
			expect(kind).toBe("install");
			expect(apt(commands)[1]).toMatch(/--no-install-recommends install chromium-headless-shell libvulkan1$/);
			expect(commands.join("\n")).not.toMatch(/backports|sourcelist/);
		}
	});

	it("does nothing where it is there, and tells what to do elsewhere", () => {
		expect(browserPlan({ ...facts, isThere: true }).kind).toBe("none");
		const ubuntu = browserPlan({ ...facts, system: { id: "ubuntu", version: "24.04" } });
		expect(ubuntu).toMatchObject({ kind: "tell", commands: [], what: expect.stringContaining("HUSHGRAD_CHROMIUM") });
		expect(browserPlan({ ...facts, system: { id: "fedora", version: "42" } }).commands).toEqual(["sudo dnf install chromium-headless"]);
	});
});

describe("announcement", () => {
	const said = (changes: object, plan = driverPlan) => announcement("Dawn finds no WebGPU adapter", plan({ ...facts, ...changes }));

	it("says in one line why, which packages from where, and how to forbid it", () => {
		expect(said({})).toBe(
			"Dawn finds no WebGPU adapter; installing mesa-vulkan-drivers and libvulkan1 by apt, from bookworm-backports (HUSHGRAD_NO_INSTALL=1 forbids it).",
		);
		expect(said({ isRoot: false, hasSudo: true, system: debian("13") })).toBe(
			"Dawn finds no WebGPU adapter; installing mesa-vulkan-drivers and libvulkan1 by apt, with sudo (HUSHGRAD_NO_INSTALL=1 forbids it).",
		);
		expect(said({}, browserPlan)).toContain(
			"; installing chromium-headless-shell and libvulkan1 by apt (HUSHGRAD_NO_INSTALL=1 forbids it).",
		);
	});

	it("names the packages also where nothing is installed, and ends with a colon where commands follow", () => {
		expect(said({ isForbidden: true })).toBe(
			"Dawn finds no WebGPU adapter; HUSHGRAD_NO_INSTALL forbids installing mesa-vulkan-drivers and libvulkan1. Type:",
		);
		expect(said({ isRoot: false })).toBe("Dawn finds no WebGPU adapter; installing mesa-vulkan-drivers and libvulkan1 needs root. Type:");
		expect(said({ system: debian("11") })).toMatch(/; install a Vulkan driver by hand: .*\.$/);
	});
});

describe("isInstallForbidden", () => {
	it.each([
		[{}, false],
		[{ HUSHGRAD_NO_INSTALL: "" }, false],
		[{ HUSHGRAD_NO_INSTALL: "0" }, false],
		[{ HUSHGRAD_NO_INSTALL: "1" }, true],
		[{ HUSHGRAD_NO_INSTALL: "true" }, true],
	])("by %j: %s", (env, expected) => {
		expect(isInstallForbidden(env)).toBe(expected);
	});
});

describe("carryOut", () => {
	it("announces the installation before it starts", () => {
		const folder = mkdtempSync(join(tmpdir(), "hushgrad-"));
		try {
			const log = join(folder, "log");
			const plan = { ...driverPlan(facts), commands: [":", `echo started >> ${log}`, ":"] };
			const install = new URL("../../tools/install.mjs", import.meta.url).href;
			const code = `const { carryOut } = await import(${JSON.stringify(install)}); carryOut("Nothing is there", ${JSON.stringify(plan)});`;
			const out = openSync(log, "a");
			const { status } = spawnSync(process.execPath, ["--input-type=module", "-e", code], { stdio: ["ignore", out, out] });
			closeSync(out);
			expect(status).toBe(0);
			const lines = readFileSync(log, "utf8").split("\n");
			expect(lines).toEqual([announcement("Nothing is there", plan), "started", ""]);
		} finally {
			rmSync(folder, { recursive: true });
		}
	});
});

describe("scriptOf", () => {
	const run = (...commands: string[]) => spawnSync("sh", ["-c", scriptOf({ ...driverPlan(facts), commands })], { encoding: "utf8" });

	it("runs the commands in one shell and cleans up at the end", () => {
		expect(run("D=x", 'echo "work $D"', 'echo "clean $D"')).toMatchObject({ status: 0, stdout: "work x\nclean x\n" });
	});

	it("stops at the first failure and cleans up all the same", () => {
		expect(run("D=x", "false", "echo unreached", 'echo "clean $D"')).toMatchObject({ status: 1, stdout: "clean x\n" });
	});
});

describe("parseOsRelease", () => {
	it("reads values with and without quotes", () => {
		expect(parseOsRelease('PRETTY_NAME="Debian"\nID=debian\nVERSION_ID="12"\nVERSION_CODENAME=bookworm\n')).toEqual(debian("12"));
	});
});

describe("the tools", () => {
	it("install by apt in one place, which one variable forbids", () => {
		const texts = readSources(fileURLToPath(new URL("../..", import.meta.url))).filter(({ path }) => path.startsWith("tools/"));
		expect(texts.filter(({ text }) => text.includes("apt-get")).map(({ path }) => path)).toEqual(["tools/driver-plan.mjs"]);
		const variables = texts.flatMap(({ text }) => text.match(/HUSHGRAD_NO_\w+/g) ?? []);
		expect([...new Set(variables)]).toEqual(["HUSHGRAD_NO_INSTALL"]);
	});
});

describe("ensure-browser", () => {
	it("installs nothing when forbidden: one line and what to type", () => {
		const folder = mkdtempSync(join(tmpdir(), "hushgrad-browser-"));
		try {
			cpSync(fileURLToPath(new URL("../../tools", import.meta.url)), folder, { recursive: true });
			writeFileSync(join(folder, "browser.mjs"), "export const chromium = () => undefined;\nexport const swiftShader = () => undefined;\n");
			const env = { ...process.env, HUSHGRAD_NO_INSTALL: "1" };
			const { status, stdout, stderr } = spawnSync(process.execPath, [join(folder, "ensure-browser.mjs")], { encoding: "utf8", env });
			const [first, ...rest] = stderr.trimEnd().split("\n");
			expect(status).toBe(1);
			expect(stdout).toBe("");
			expect(first).toMatch(/^The tests need Chromium and SwiftShader, and one is missing; /);
			expect(rest.filter((line) => !line.startsWith("  "))).toEqual([]);
		} finally {
			rmSync(folder, { recursive: true });
		}
	});
});

describe("ensure-driver", () => {
	const tools = fileURLToPath(new URL("../../tools", import.meta.url));

	/** Runs the tool, which must not install, in a folder of its own, where the package webgpu is the given module. */
	function runWith(webgpu: string) {
		const folder = mkdtempSync(join(tmpdir(), "hushgrad-driver-"));
		try {
			cpSync(tools, join(folder, "tools"), { recursive: true });
			const home = join(folder, "node_modules/webgpu");
			mkdirSync(home, { recursive: true });
			writeFileSync(join(home, "package.json"), '{ "type": "module", "exports": "./index.js" }');
			writeFileSync(join(home, "index.js"), webgpu);
			const env = { ...process.env, HUSHGRAD_NO_INSTALL: "1" };
			return spawnSync(process.execPath, [join(folder, "tools/ensure-driver.mjs")], { encoding: "utf8", env });
		} finally {
			rmSync(folder, { recursive: true });
		}
	}
	const gpu = (adapter: string) => `export const create = () => ({ requestAdapter: async () => (${adapter}) });`;

	it("is silent where there is an adapter", () => {
		expect(runWith(gpu("{}"))).toMatchObject({ status: 0, stdout: "", stderr: "" });
	});

	it.each([gpu("null"), gpu("process.abort()")])("fails with one line and what to type where Dawn has none or crashes: %s", (webgpu) => {
		const { status, stdout, stderr } = runWith(webgpu);
		const [first, ...rest] = stderr.trimEnd().split("\n");
		expect(status).toBe(1);
		expect(stdout).toBe("");
		expect(first).toMatch(/^Dawn finds no WebGPU adapter; /);
		expect(rest.filter((line) => !line.startsWith("  "))).toEqual([]);
	});

	it("does not take a package that fails to load for a missing driver", () => {
		const { status, stderr } = runWith('throw new Error("broken binary");');
		expect(status).toBe(1);
		expect(stderr).toBe("The npm package webgpu could not be loaded (broken binary); type: npm ci\n");
	});
});
