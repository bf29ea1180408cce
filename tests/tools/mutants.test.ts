import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import * as operations from "../../tools/mutants.operations.ts";
import * as records from "../../tools/mutants.records.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const mutants = [...Object.values(operations), ...Object.values(records)].flat();

it.each(mutants.map(({ name, file, from }) => [name, file, from] as const))("the fault %s can be made in %s", (_, file, from) => {
	expect(readFileSync(`${root}/${file}`, "utf8").split(from)).toHaveLength(2);
});
