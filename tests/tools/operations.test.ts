import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { page, readOperations, shown } from "../../tools/operations.ts";
import { linearOps, primitives } from "../support/registry.ts";

const operations = await readOperations(fileURLToPath(new URL("../..", import.meta.url)));
const of = (name: string) => operations.find((op) => op.name === name);

describe("docs/operations.md", () => {
	it("lists every operation once, in a family of its own", () => {
		const names = [...primitives(), ...linearOps()].map((op) => op.spec.name).sort();
		expect(operations.map((op) => op.name)).toEqual(names);
		expect(operations.filter(({ file }) => file === "")).toEqual([]);
		const rows = page(operations).match(/^\| `.*$/gm) ?? [];
		expect(rows.map((row) => /`([^`]+)`/.exec(row)?.[1]).sort()).toEqual(names);
	});

	it("says what the registry says", () => {
		expect(of("matmul")).toMatchObject({ family: "Products", file: "tensor/src/ops/matmul.ts", types: "f32 f16 i32 u32", gradient: "yes" });
		expect(of("where")).toMatchObject({ types: "c: bool; a b: f32 f16 i32 u32 bool", gradient: "c: zero; a b: yes" });
		expect(of("pow")).toMatchObject({ values: "a: [0.1, 4]; b: [-2, 2]", bound: { ulp: 4 } });
		expect(of("isnan")?.family).toBe("Of truth");
		expect(of("sign")?.family).toBe("Element-wise, of one tensor");
		expect(of("adamw")).toMatchObject({ family: "Optimisers", gradient: "none, in place" });
		expect(of("reshape")).toMatchObject({ signature: undefined, bound: undefined });
	});

	it("promises a gradient as often as one likes of every operation that has one", () => {
		const known = ["none, in place", "none, never traced"];
		expect(operations.filter((op) => /\b(once|none)\b/.test(op.gradient) && !known.includes(op.gradient))).toEqual([]);
	});

	it("writes numbers as people do", () => {
		expect([0, 64, 2.5, 2e-5, 2 ** -11, 0.005, 1.5e-5].map(shown)).toEqual(["0", "64", "2.5", "2e-5", "2⁻¹¹", "5e-3", "1.5e-5"]);
	});
});
