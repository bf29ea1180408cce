import { defineConfig, type TestProjectInlineConfiguration, type ViteUserConfig } from "vitest/config";
import { BaseSequencer, type TestSpecification } from "vitest/node";

/** What takes longest, and would else be begun last, beside idle workers: Vitest goes by the size of a file. */
const LONG = [
	"/primitives.",
	"/medicalFlashcards.",
	"/finetune/run.",
	"/docs/pages.",
	"/plans.test",
	"/training/memory.",
	"/decode.",
	"/randomPrograms.",
];

class LongestFirst extends BaseSequencer {
	override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
		const place = ({ moduleId }: TestSpecification) => {
			const at = LONG.findIndex((part) => moduleId.includes(part));
			return at < 0 ? LONG.length : at;
		};
		const sorted = await super.sort(files);
		return sorted.sort((a, b) => place(a) - place(b));
	}
}

export type Project = TestProjectInlineConfiguration;

/** A kernel of the tests runs a few times: Mesa's software driver takes longer to optimise it than to run it. */
const UNOPTIMISED = { GALLIVM_PERF: process.env.GALLIVM_PERF ?? "nopt" };

/**
 * For kernels on a few numbers, which Mesa's software driver compiles in half the time in vectors of four, not eight. Its cache does not
 * tell the widths apart, so these have one of their own.
 */
export const SMALL = {
	LP_NATIVE_VECTOR_WIDTH: "128",
	MESA_SHADER_CACHE_DIR: `${process.env.MESA_SHADER_CACHE_DIR ?? "node_modules/.shaders"}-narrow`,
};

/**
 * Kernels then run in the thread that asks, which is quicker for small ones. Workgroups run in order, and what one stores in the place of
 * another is overwritten: not for kernels whose workgroups share a result.
 */
export const IN_ORDER = { LP_NUM_THREADS: "0" };

const conditions = ["@hushgrad/source", "node", "import", "module", "default"];

/** Which files run, and in what environment. */
export interface Suite {
	readonly include: readonly string[];
	readonly exclude?: readonly string[];
	readonly env?: Readonly<Record<string, string>>;
}

/** `npm run test:table` has random cases counted. */
export const setupFiles = process.env.HUSHGRAD_COUNT_CASES === undefined ? [] : ["tests/support/countCases.ts"];

/** Tests in Node. The files share what a process has loaded: one that mocks a module loads all of them anew. */
export const inNode = (name: string, { include, exclude = [], env = {} }: Suite): Project => ({
	resolve: { conditions },
	ssr: { resolve: { conditions } },
	test: {
		name,
		include: [...include],
		exclude: [...exclude],
		env: { ...UNOPTIMISED, ...env },
		setupFiles,
		testTimeout: 120_000,
		hookTimeout: 120_000,
		pool: "forks",
		isolate: false,
	},
});

/** One run of projects. Three processes keep two cores busy, since each waits for its driver now and then; those in Chromium come on top. */
export const runOf = (...projects: readonly Project[]): ViteUserConfig =>
	defineConfig({ test: { projects: [...projects], maxWorkers: 3, sequence: { sequencer: LongestFirst } } });
