import { describe, expect, it } from "vitest";
import { useDevice } from "../support/device.ts";
import { CASES, type Case, failureOf, readTensors, SUMMARY } from "./cases.ts";
import { OPERATORS } from "./evaluator.ts";
import { KNOWN } from "./known.ts";

const device = useDevice();
const tensors = await readTensors();
const passed = new Set<string>();

const byOperator = new Map<string, Case[]>();
for (const node of CASES) byOperator.set(node.opType, [...(byOperator.get(node.opType) ?? []), node]);

/** Every case passes, except those known not to, which fail as they are known to. */
describe("ONNX node cases", () => {
	for (const [opType, cases] of byOperator) {
		it(`${opType} (${cases.length})`, async () => {
			const unexpected: Record<string, string> = {};
			for (const node of cases) {
				const failure = await failureOf(device(), node, tensors);
				const known = KNOWN[node.name];
				if (failure === undefined) passed.add(node.name);
				if (known === undefined && failure !== undefined) unexpected[node.name] = failure;
				if (known !== undefined && !known.shows.test(failure ?? "")) {
					unexpected[node.name] = `${failure ?? "passes"}; known: ${known.reason}`;
				}
			}
			expect(unexpected).toEqual({});
		});
	}

	it("are all accounted for", () => {
		const sum = (counts: Readonly<Record<string, number>>): number => Object.values(counts).reduce((a, b) => a + b, 0);
		const { total, kept, supported, leftOut, unsupported } = SUMMARY;
		const known = Object.keys(KNOWN);
		expect(CASES.length).toBe(kept);
		expect(kept + sum(leftOut)).toBe(total);
		expect(sum(unsupported)).toBe(leftOut["unsupported op"]);
		expect(Object.keys(OPERATORS).sort()).toEqual([...supported].sort());
		expect(known.filter((name) => !CASES.some((c) => c.name === name))).toEqual([]);
		expect(passed.size + known.length).toBe(kept);
		console.log(
			`ONNX node cases: ${passed.size} of ${kept} pass (${known.length} known failures); ` +
				`${sum(unsupported)} cases of ${Object.keys(unsupported).length} op types unsupported`,
		);
	});
});
