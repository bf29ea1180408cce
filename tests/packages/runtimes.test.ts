import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, inject, it } from "vitest";
import { root } from "../../tools/packages.mjs";
import { npm } from "./install.ts";

const project = inject("project");
const runtimes = join(project, "../runtimes");
const [platform, extension] = process.platform === "win32" ? ["win", ".exe"] : [process.platform, ""];

const NODES = ["18.20.8", "22.23.3", "24.21.0"];
const nodePackage = (version: string): string => `node-${version.split(".")[0]}@npm:node-${platform}-${process.arch}@${version}`;
const node = (major: number): string => join(runtimes, `node_modules/node-${major}/bin/node${extension}`);
const [deno, bun] = ["deno", "bun"].map((name) => join(runtimes, "node_modules/.bin", name));

interface How {
	readonly cwd?: string;
	readonly env?: Readonly<Record<string, string>>;
}

/** What a program prints, without the warnings of Dawn. */
function output(command: string, args: readonly string[], { cwd = project, env = {} }: How = {}): string {
	const all = { ...process.env, NO_COLOR: "1", DENO_NO_UPDATE_CHECK: "1", NODE_OPTIONS: "", ...env };
	const { stdout, stderr } = spawnSync(command, args, { cwd, encoding: "utf8", env: all, stdio: ["ignore", "pipe", "pipe"] });
	return `${stdout}${stderr}`.replaceAll(/^Warning: .*\n/gm, "");
}

const STATEMENT = /^Differential privacy: \(ε = 2, δ = 1e-5\)\n(.*\n)+Not covered:\n/;
/** An error of ours is told once, with its way out. */
const says = (text: string, message: string, hint: string): void => {
	expect(text).toContain(`DeviceError: ${message}`);
	expect(text).toContain(`Hint: ${hint}`);
	expect(text.match(/Hint: /g)).toHaveLength(1);
};

beforeAll(() => {
	mkdirSync(runtimes);
	writeFileSync(join(runtimes, "package.json"), "{}");
	npm(runtimes, "install", "--force", ...NODES.map(nodePackage), "deno@2.9.6", "bun@1.4.5");
});

describe("a program of 20 lines trains privately", () => {
	it(`in Node ${process.versions.node}`, () => expect(output(process.execPath, ["train.js"])).toMatch(STATEMENT));
	it.each([22, 24])("in Node %d", (major) => expect(output(node(major), ["train.js"])).toMatch(STATEMENT));
	it("in Node 24, as TypeScript", () => expect(output(node(24), ["train.ts"])).toMatch(STATEMENT));
	it("in Deno", () =>
		expect(output(deno, ["run", "--allow-ffi", "--allow-read", "--allow-env", "--allow-sys", "train.ts"])).toMatch(STATEMENT));
	it("in Bun", () => expect(output(bun, ["run", "train.ts"])).toMatch(STATEMENT));
});

it("CommonJS can require it", () => {
	writeFileSync(join(project, "common.cjs"), 'console.log(typeof require("@hushgrad/dp").PrivacyEngine);');
	expect(output(process.execPath, ["common.cjs"])).toBe("function\n");
});

describe("what runs in Node runs elsewhere", () => {
	const MODEL = join(root, "assets/tiny-vaultgemma");
	beforeAll(() => {
		cpSync(join(root, "tests/packages/generate.ts"), join(project, "generate.ts"));
		cpSync(join(root, "examples/custom-op.ts"), join(project, "custom-op.ts"));
	});
	it.each([["generate.ts", MODEL], ["custom-op.ts"]])("%s", (...program) => {
		const inNode = output(node(24), program);
		expect(inNode).toMatch(/^\w/);
		expect(output(deno, ["run", "-A", ...program])).toBe(inNode);
		expect(output(bun, ["run", ...program])).toBe(inNode);
	});
});

describe("one clear error", () => {
	const NO_DRIVER = { env: { VK_DRIVER_FILES: "/nonexistent" } };
	it("in an old Node", () => says(output(node(18), ["train.js"]), "Node 18.20.8 is too old", "Hushgrad needs Node 20.19 or newer"));
	it.skipIf(process.platform !== "linux")("without a driver", () =>
		says(output(process.execPath, ["train.js"], NO_DRIVER), "WebGPU found no adapter", "install a Vulkan"),
	);
	it("in Deno without permissions", () =>
		says(
			output(deno, ["run", "train.js"]),
			"Dawn, of the npm package `webgpu`, could not be loaded: Requires ffi access",
			"in Deno this takes",
		));

	it("with two copies of @hushgrad/tensor", () => {
		const two = join(project, "../two");
		cpSync(project, two, { recursive: true });
		const inner = join(two, "node_modules/@hushgrad/nn/node_modules/@hushgrad/tensor");
		cpSync(join(two, "node_modules/@hushgrad/tensor"), inner, { recursive: true });
		const text = output(process.execPath, ["train.js"], { cwd: two });
		expect(text).toContain("ValueError: normalInit: device is an object, expected a device");
		expect(text).toContain("Hint: if it is one, npm ls @hushgrad/tensor shows whether two copies are installed");
	});

	describe("without the package webgpu", () => {
		const bare = join(project, "../bare");
		beforeAll(() => {
			cpSync(project, bare, { recursive: true });
			rmSync(join(bare, "node_modules/webgpu"), { recursive: true });
		});
		it.each([
			["Node", process.execPath, []],
			["Deno", deno, ["run", "-A"]],
			["Bun", bun, ["run"]],
		] as const)("in %s", (_, command, args) =>
			says(
				output(command, [...args, "train.js"], { cwd: bare }),
				"the npm package `webgpu`, which brings Dawn, is not installed",
				"npm install webgpu",
			),
		);
	});
});
