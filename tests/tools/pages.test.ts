import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { difference, generatedPages, staleLines } from "../../tools/pages.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));

describe("pages that are made from the sources", () => {
	it("are up to date: npm run pages", async () => {
		const pages = await generatedPages(root);
		expect(pages.map((page) => page.path)).toEqual([
			"docs/errors.md",
			"docs/operations.md",
			"docs/api.md",
			"docs/dictionary.md",
			"docs/command-line.md",
			"packages/finetune/settings.schema.json",
		]);
		for (const page of pages) {
			expect(page.faults).toEqual([]);
			expect(staleLines(root, page), `${page.path} is not what the sources say: npm run pages writes it`).toEqual([]);
			expect(page.text, "it knows nothing of the machine").not.toContain(root);
		}
	});

	it("show a difference line by line", () => {
		expect(difference("a\nb\nc", "a\nc\nd")).toEqual(["- b", "+ d"]);
		expect(difference("a\nb", "b\na")).toEqual(["the lines stand in another order"]);
		expect(difference("a\nb", "a\nb")).toEqual([]);
	});
});
