import { describe, expect, it } from "vitest";
import { obstacles } from "../../tools/release.mjs";

const READY = { branch: "main", changes: "", changesets: [], versions: ["0.2.0", "0.2.0"], tags: ["@hushgrad/tensor@0.1.0", ""] };

describe("a release", () => {
	it("is possible from a clean main whose version is new", () => expect(obstacles(READY)).toEqual([]));

	it.each([
		["from a branch", { branch: "fix" }, "this is the branch fix"],
		["with changes that are not committed", { changes: " M README.md\n" }, " M README.md"],
		["with changesets that are not applied", { changesets: ["brave-cats.md"] }, "npm run version-packages"],
		["of packages with several versions", { versions: ["0.2.0", "0.1.0"] }, "0.2.0, 0.1.0"],
		["of a version that is tagged", { tags: ["@hushgrad/tensor@0.2.0"] }, "@hushgrad/tensor@0.2.0 is tagged already"],
	])("is refused %s", (_, change, reason) => {
		expect(obstacles({ ...READY, ...change })).toEqual([expect.stringContaining(reason)]);
	});
});
