import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { SETS } from "../../tools/mutantSets.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const mutants = Object.values(SETS).flat();

it.each(mutants.map(({ name, file, from }) => [name, file, from] as const))("the fault %s can be made in %s", (_, file, from) => {
	expect(readFileSync(`${root}/${file}`, "utf8").split(from)).toHaveLength(2);
});
