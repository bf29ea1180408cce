import type { Optimizer } from "@hushgrad/dp";
import { describe, expect, it } from "vitest";
import { checkOptimizer } from "../../packages/dp/src/optimizer.ts";

describe("checkOptimizer", () => {
	const whole = { lr: 1, vector: {}, step: () => {} };

	it("takes what has a vector and a step", () => {
		expect(checkOptimizer("f", whole as unknown as Optimizer)).toBeUndefined();
	});

	it.each<[string, unknown]>([
		["undefined", undefined],
		["null", null],
		["3", 3],
		["an object", {}],
		["an object", { ...whole, vector: null }],
		["an object", { ...whole, vector: () => {} }],
		["an object", { ...whole, vector: undefined }],
		["an object", { ...whole, step: 3 }],
		["an object", { ...whole, step: undefined }],
	])("refuses %s", (shown, none) => {
		expect(() => checkOptimizer("PrivacyEngine", none as Optimizer)).toThrow(
			expect.objectContaining({
				...{ name: "ValueError", code: "call/argument", op: "PrivacyEngine" },
				message: expect.stringContaining(`PrivacyEngine: optimizer is ${shown}, expected an optimiser`),
				hint: "those of @hushgrad/nn are such: new AdamW(model.trainableParameters(), { lr })",
			}),
		);
	});
});
