import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { readParquetTable } from "../../packages/finetune/src/data/parquet.ts";
import { readRecords } from "../../packages/finetune/src/data/readRecords.ts";

const goldens = fileURLToPath(new URL("../goldens/parquet/", import.meta.url));
const { rows } = JSON.parse(await readFile(`${goldens}rows.json`, "utf8")) as {
	readonly rows: readonly { readonly patient: number | null; readonly question: string | null; readonly answer: string | null }[];
};
const WAYS = ["snappy", "plain", "zstd-v2", "gzip-delta", "brotli", "lz4"];
/** Rows without a question, without an answer, and with an empty one; rows count from 1. */
const BROKEN = [6, 12, 13, 31];

describe.each(WAYS)("a table as pyarrow writes it, %s", (way) => {
	const data = `${goldens}${way}.parquet`;

	it("has the values that pyarrow reads back", async () => {
		const table = await readParquetTable(new Uint8Array(await readFile(data)), data);
		expect(table.columns).toEqual(["patient", "question", "answer", "ward", "age", "consents"]);
		const plain = (value: unknown): unknown => (typeof value === "bigint" ? Number(value) : (value ?? null));
		const values = table.rows.map((r) => Object.fromEntries(Object.entries(r.values).map(([name, value]) => [name, plain(value)])));
		expect(values).toEqual(rows);
	});

	it("gives its records, with whom they belong to, and names what is null or empty", async () => {
		const { train, broken } = await readRecords({ data, broken: "drop", heldOut: 0, seed: 0, unit: "patient" });
		const whole = rows.flatMap(({ patient, question, answer }, i) =>
			question === null || answer === null || answer === "" || patient === null
				? []
				: [{ prompt: question, response: answer, place: i + 1, unit: String(patient) }],
		);
		expect(train).toEqual(whole);
		expect(broken.map(({ place }) => place).sort((a, b) => a - b)).toEqual([...BROKEN, 21].sort((a, b) => a - b));
	});
});
