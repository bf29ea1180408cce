import fc from "fast-check";
import { afterEach, beforeEach } from "vitest";

declare module "vitest" {
	interface TaskMeta {
		/** Calls of the test's properties: random cases. */
		cases?: number;
	}
}

let cases = 0;
fc.configureGlobal({
	beforeEach: () => {
		cases++;
	},
});

beforeEach(() => {
	cases = 0;
});
afterEach(({ task }) => {
	task.meta.cases = Math.max(1, cases);
});
