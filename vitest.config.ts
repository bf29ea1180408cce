import { defineConfig } from "vitest/config";
import { BaseSequencer, type TestSpecification } from "vitest/node";

/** The suites of primitives first: the longest to run, in the shortest files, which Vitest would start last, one beside an idle worker. */
export class LongestFirst extends BaseSequencer {
	override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
		const isLong = ({ moduleId }: TestSpecification) => moduleId.includes("/primitives.");
		const sorted = await super.sort(files);
		return [...sorted.filter(isLong), ...sorted.filter((file) => !isLong(file))];
	}
}

const conditions = ["@hushgrad/source", "node", "import", "module", "default"];

/** The whole suite, on the machine's own device. */
export default defineConfig({
	resolve: { conditions },
	ssr: { resolve: { conditions } },
	test: {
		include: ["tests/**/*.test.ts"],
		exclude: ["tests/browser/**", "tests/packages/**", "tests/pages/**"],
		testTimeout: 120_000,
		hookTimeout: 120_000,
		pool: "forks",
		maxWorkers: 2,
		sequence: { sequencer: LongestFirst },
	},
});
