// @ts-nocheck: StrykerJS is none of the packages that npm ci installs
/**
 * Runs the tests of a target in the process of StrykerJS' worker: modules are loaded, and pipelines compiled, once for all mutants, which
 * is at least five times as fast as a Vitest that begins anew for each. A mutant of what runs while modules load gets a process of its own.
 * Where HUSHGRAD_MUTATION_FRESH is 1, modules are loaded anew for each mutant: a kernel is made once, with the WGSL that it had then.
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { INSTRUMENTER_CONSTANTS } from "@stryker-mutator/api/core";
import { declareClassPlugin, PluginKind } from "@stryker-mutator/api/plugin";
import { DryRunStatus, determineHitLimitReached, TestStatus, toMutantRunResult } from "@stryker-mutator/api/test-runner";
import { build } from "esbuild";

const FRESH = process.env.HUSHGRAD_MUTATION_FRESH === "1";

/** Bundles test files of the folder it runs in, with the sources of this folder, and a Vitest that only collects. */
async function bundle(tests, outdir) {
	await build({
		absWorkingDir: process.cwd(),
		entryPoints: tests,
		bundle: true,
		splitting: !FRESH,
		keepNames: true,
		format: "esm",
		platform: "node",
		conditions: ["@hushgrad/source"],
		external: ["webgpu", "@vitest/expect", "@vitest/spy", "chai", "esbuild", "typescript"],
		alias: { vitest: resolve("tools/stryker.vitest.mjs") },
		plugins: [
			{
				name: "sources of this folder",
				setup({ onResolve, onLoad }) {
					onResolve({ filter: /^@hushgrad\/\w+(\/\w+)?$/ }, ({ path }) => {
						const [, name, part = "index"] = path.split("/");
						return { path: resolve(`packages/${name}/src/${part}.ts`) };
					});
					onResolve({ filter: /\/support\/device\.ts$/ }, () => ({ path: resolve("tools/stryker.device.mjs") }));
					onLoad({ filter: /\/tests\/.*\.ts$/ }, ({ path }) => ({
						contents: readFileSync(path, "utf8").replaceAll("import.meta.url", JSON.stringify(pathToFileURL(path).href)),
						loader: "ts",
					}));
				},
			},
		],
		outdir,
		outExtension: { ".js": ".mjs" },
		outbase: ".",
		logLevel: "error",
	});
}

/** A test hangs when the process has less than these microseconds of work in so many intervals of these milliseconds. */
const IDLE_MICROSECONDS = 3000;
const IDLE_INTERVALS = 50;
const INTERVAL = 100;
/** A test of more milliseconds, and of a tenth of all time, is left out where quicker ones reach a mutant too. */
const SLOW = 5000;

class InProcessRunner {
	#namespace;
	#folder = resolve("out/in-process");
	#tests = process.env.HUSHGRAD_MUTATION_TESTS.split(",");
	#loaded;
	#loads = 0;
	/** Whether a mutant ran in this process, and whether one left something broken behind. */
	#used = false;
	#broken = false;

	constructor() {
		globalThis[INSTRUMENTER_CONSTANTS.NAMESPACE] ??= {};
		this.#namespace = globalThis[INSTRUMENTER_CONSTANTS.NAMESPACE];
	}

	capabilities() {
		return { reloadEnvironment: false };
	}

	get #times() {
		return join(this.#folder, "times.json");
	}

	async init() {
		if (!existsSync(this.#times)) await bundle(this.#tests, this.#folder);
	}

	/** Loads the test files, once or anew, and gives their tests. */
	async #all() {
		if (this.#loaded !== undefined && !FRESH) return this.#loaded;
		this.#loads++;
		const all = [];
		for (const file of this.#tests) {
			globalThis.collecting = { tests: [], path: [], hooks: [] };
			await import(pathToFileURL(join(this.#folder, file.replace(/\.ts$/, ".mjs"))).href + (FRESH ? `?${this.#loads}` : ""));
			all.push(...globalThis.collecting.tests.map((t, i) => ({ ...t, file, id: `${file}#${i} ${t.name}` })));
		}
		this.#loaded = all;
		return all;
	}

	/** A hook; what it runs counts for all the tests that it is for. */
	async #hook(hook) {
		const { currentTestId, mutantCoverage } = this.#namespace;
		this.#namespace.currentTestId = "hook";
		try {
			await hook.run();
		} finally {
			this.#namespace.currentTestId = currentTestId;
			const { hook: counts = {}, ...perTest } = mutantCoverage?.perTest ?? {};
			if (mutantCoverage !== undefined) {
				mutantCoverage.perTest = perTest;
				for (const { id } of this.#loaded.filter(({ hooks }) => hooks.includes(hook))) {
					perTest[id] ??= {};
					for (const [mutant, count] of Object.entries(counts)) perTest[id][mutant] = (perTest[id][mutant] ?? 0) + count;
				}
			}
		}
	}

	async #test(test, done) {
		const of = (kind) => test.hooks.filter((h) => h.kind === kind);
		for (const hook of of("beforeAll")) {
			if (done.has(hook)) continue;
			done.add(hook);
			await this.#hook(hook);
		}
		try {
			for (const hook of of("beforeEach")) await hook.run();
			await test.run();
		} finally {
			for (const hook of of("afterEach")) await hook.run();
		}
	}

	/** Rejects for a test that fails, and for one that waits for what never comes: in which the process has done nothing for long. */
	async #awaited(run) {
		let timer;
		const stuck = new Promise((_, reject) => {
			let idle = 0;
			let before = process.cpuUsage();
			timer = setInterval(() => {
				const { user, system } = process.cpuUsage(before);
				before = process.cpuUsage();
				idle = user + system < IDLE_MICROSECONDS ? idle + 1 : 0;
				if (idle < IDLE_INTERVALS) return;
				this.#broken = true;
				reject(new Error("the test hangs"));
			}, INTERVAL);
		});
		await Promise.race([run(), stuck]).finally(() => clearInterval(timer));
	}

	/** Runs tests: all of them, or until the first failure. */
	async #run(tests, bail) {
		const results = [];
		const done = new Set();
		for (const test of tests) {
			const started = Date.now();
			this.#namespace.currentTestId = test.id;
			const failure = await this.#awaited(() => this.#test(test, done)).then(
				() => undefined,
				(error) => String(error),
			);
			this.#namespace.currentTestId = undefined;
			results.push({
				...{ id: test.id, name: test.name, fileName: test.file, timeSpentMs: Date.now() - started },
				...(failure === undefined ? { status: TestStatus.Success } : { status: TestStatus.Failed, failureMessage: failure }),
			});
			if (bail && failure !== undefined) break;
		}
		const ended = new Set(tests.slice(0, results.length).flatMap(({ hooks }) => hooks.filter(({ kind }) => kind === "afterAll")));
		for (const hook of ended) await hook.run();
		return results;
	}

	/** Without a mutant; twice, where what the first time takes is the compiling of kernels. */
	async dryRun() {
		const all = await this.#all();
		if (!FRESH && this.#tests.some((file) => readFileSync(file, "utf8").includes("useDevice"))) await this.#run(all, false);
		const tests = await this.#run(all, false);
		writeFileSync(this.#times, JSON.stringify(Object.fromEntries(tests.map(({ id, timeSpentMs }) => [id, timeSpentMs]))));
		return { status: DryRunStatus.Complete, tests, mutantCoverage: this.#namespace.mutantCoverage };
	}

	/**
	 * With a mutant, until a test fails, the quickest first. A rejection has StrykerJS run the mutant again, in a new process: what a mutant
	 * left broken must not count as the next one's death.
	 */
	async mutantRun({ activeMutant, testFilter, hitLimit, mutantActivation }) {
		if (this.#broken) throw new Error("a mutant before has left something broken");
		const times = JSON.parse(readFileSync(this.#times, "utf8"));
		const run = async (tests, id) => {
			Object.assign(this.#namespace, { activeMutant: id, hitLimit, hitCount: hitLimit === undefined ? undefined : 0 });
			try {
				return await this.#run(tests, true);
			} finally {
				this.#namespace.activeMutant = undefined;
			}
		};
		if (mutantActivation !== "runtime" || FRESH) this.#namespace.activeMutant = activeMutant.id;
		const all = await this.#all();
		const total = Object.values(times).reduce((a, b) => a + b, 0);
		const isSlow = ({ id }) => times[id] > Math.max(SLOW, total / 10);
		const every = all.filter(({ id }) => testFilter?.includes(id) ?? true).sort((a, b) => times[a.id] - times[b.id]);
		const reached = every.some((test) => !isSlow(test)) ? every.filter((test) => !isSlow(test)) : every;
		const tests = await run(reached, activeMutant.id);
		const hits = this.#namespace.hitCount;
		const failed = tests.at(-1);
		if (mutantActivation === "runtime" && !FRESH && failed?.status === TestStatus.Failed) {
			const [without] = await run([reached[tests.length - 1]], undefined);
			this.#broken ||= without.status === TestStatus.Failed;
			if (this.#broken && this.#used) throw new Error("a mutant before has left something broken");
		}
		this.#used = true;
		return toMutantRunResult(determineHitLimitReached(hits, hitLimit) ?? { status: DryRunStatus.Complete, tests });
	}
}

export const strykerPlugins = [declareClassPlugin(PluginKind.TestRunner, "in-process", InProcessRunner)];
