// @ts-nocheck: StrykerJS is none of the packages that npm ci installs
/**
 * Runs the tests of a target in the process of StrykerJS' worker, for tests that need no device: the modules are loaded once for all
 * mutants, which is five times as fast as a Vitest that loads them anew for each. A mutant of what runs while modules load gets a
 * process of its own.
 */
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { INSTRUMENTER_CONSTANTS } from "@stryker-mutator/api/core";
import { declareClassPlugin, PluginKind } from "@stryker-mutator/api/plugin";
import { DryRunStatus, determineHitLimitReached, TestStatus, toMutantRunResult } from "@stryker-mutator/api/test-runner";
import { build } from "esbuild";

/** Bundles test files of the folder it runs in, with the sources of this folder, and a Vitest that only collects. */
async function bundle(tests) {
	const outdir = resolve(`out/in-process-${process.pid}`);
	await build({
		absWorkingDir: process.cwd(),
		entryPoints: tests,
		bundle: true,
		splitting: true,
		keepNames: true,
		format: "esm",
		platform: "node",
		conditions: ["@hushgrad/source"],
		external: ["webgpu", "@vitest/expect", "chai", "esbuild", "typescript"],
		alias: { vitest: resolve("tools/stryker.vitest.mjs") },
		plugins: [
			{
				name: "sources of this folder",
				setup({ onResolve }) {
					onResolve({ filter: /^@hushgrad\/\w+(\/\w+)?$/ }, ({ path }) => {
						const [, name, part = "index"] = path.split("/");
						return { path: resolve(`packages/${name}/src/${part}.ts`) };
					});
				},
			},
		],
		outdir,
		outExtension: { ".js": ".mjs" },
		outbase: ".",
		logLevel: "error",
	});
	return tests.map((file) => [file, pathToFileURL(join(outdir, file.replace(/\.ts$/, ".mjs"))).href]);
}

class InProcessRunner {
	#namespace;
	#files = [];
	#loaded;

	constructor() {
		globalThis[INSTRUMENTER_CONSTANTS.NAMESPACE] ??= {};
		this.#namespace = globalThis[INSTRUMENTER_CONSTANTS.NAMESPACE];
	}

	capabilities() {
		return { reloadEnvironment: false };
	}

	async init() {
		this.#files = await bundle(process.env.HUSHGRAD_MUTATION_TESTS.split(","));
	}

	/** Loads the test files once, and gives what they hold. */
	async #suites() {
		if (this.#loaded !== undefined) return this.#loaded;
		const collected = [];
		for (const [file, url] of this.#files) {
			globalThis.collecting = { tests: [], path: [], hooks: [] };
			await import(url);
			collected.push({ file, ...globalThis.collecting });
		}
		this.#loaded = collected;
		return collected;
	}

	async #run(filter, bail) {
		const results = [];
		for (const { file, tests } of await this.#suites()) {
			const chosen = tests.map((t, i) => ({ ...t, id: `${file}#${i} ${t.name}` })).filter(({ id }) => filter?.includes(id) ?? true);
			const done = new Set();
			for (const [i, test] of chosen.entries()) {
				const started = Date.now();
				const base = { id: test.id, name: test.name, fileName: file };
				this.#namespace.currentTestId = test.id;
				try {
					for (const hook of test.hooks.filter((h) => h.kind === "beforeAll" && !done.has(h))) {
						done.add(hook);
						await hook.run();
					}
					for (const hook of test.hooks) if (hook.kind === "beforeEach") await hook.run();
					await test.run();
					for (const hook of test.hooks) if (hook.kind === "afterEach") await hook.run();
					results.push({ ...base, status: TestStatus.Success, timeSpentMs: Date.now() - started });
				} catch (error) {
					results.push({ ...base, status: TestStatus.Failed, failureMessage: String(error), timeSpentMs: Date.now() - started });
				}
				this.#namespace.currentTestId = undefined;
				const later = chosen.slice(i + 1).flatMap((t) => t.hooks);
				for (const hook of test.hooks) if (hook.kind === "afterAll" && (bail || !later.includes(hook))) await hook.run();
				if (bail && results.at(-1).status === TestStatus.Failed) return results;
			}
		}
		return results;
	}

	async dryRun() {
		const tests = await this.#run(undefined, false);
		return { status: DryRunStatus.Complete, tests, mutantCoverage: this.#namespace.mutantCoverage };
	}

	async mutantRun({ activeMutant, testFilter, hitLimit, mutantActivation }) {
		Object.assign(this.#namespace, { hitLimit, hitCount: hitLimit === undefined ? undefined : 0 });
		if (mutantActivation === "runtime") await this.#suites();
		this.#namespace.activeMutant = activeMutant.id;
		try {
			const tests = await this.#run(testFilter, true);
			return toMutantRunResult(determineHitLimitReached(this.#namespace.hitCount, hitLimit) ?? { status: DryRunStatus.Complete, tests });
		} catch (error) {
			return toMutantRunResult({ status: DryRunStatus.Error, errorMessage: String(error) });
		} finally {
			this.#namespace.activeMutant = undefined;
		}
	}
}

export const strykerPlugins = [declareClassPlugin(PluginKind.TestRunner, "in-process", InProcessRunner)];
