import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import * as dp from "@hushgrad/dp";
import * as finetune from "@hushgrad/finetune";
import * as models from "@hushgrad/models";
import * as nn from "@hushgrad/nn";
import * as tensor from "@hushgrad/tensor";
import { describe, expect, it } from "vitest";

const readme = (name: string): string => readFileSync(fileURLToPath(new URL(`../../packages/${name}/README.md`, import.meta.url)), "utf8");

describe.each(Object.entries({ tensor, nn, dp, models, finetune }))("%s", (name, exported) => {
	it("documents every name that it exports", () => {
		const words = new Set(readme(name).match(/\w+/g));
		expect(Object.keys(exported).filter((n) => !words.has(n))).toEqual([]);
	});
});
