import { definePrimitive } from "@hushgrad/tensor/author";
import { describe, expectTypeOf, it } from "vitest";

/* What the compiler reads in a signature; `npm run types` is where these tests fail. */
describe("a definition", () => {
	it("knows the names of its signature, and no others", () => {
		const define = () =>
			definePrimitive({
				name: "named",
				signature: "~x[..., D], w![D, 3] -> y[..., D], total[]",
				attrs: {},
				forward: ({ inputs, axes }) => {
					expectTypeOf<keyof typeof inputs>().toEqualTypeOf<"x" | "w">();
					expectTypeOf<keyof typeof axes>().toEqualTypeOf<"D" | "3">();
					return [inputs.x];
				},
				grad: {
					w: "none",
					x: {
						saves: ["w", "total"],
						rule: (given) => {
							expectTypeOf<keyof typeof given>().toEqualTypeOf<"x" | "w" | "y" | "total" | "dy">();
							return given.dy;
						},
					},
				},
				reference: ({ x }) => [x, x],
				test: { domains: { x: { range: [0, 1] } }, nonEmpty: ["D"] },
			});
		expectTypeOf(define).toBeFunction();
	});

	it("refuses what its signature does not name", () => {
		const rest = { name: "named", signature: "x[D] -> y[D]", attrs: {}, reference: () => [] } as const;
		// @ts-expect-error no gradient rule for x
		const noRule = () => definePrimitive({ ...rest, forward: ({ inputs: { x } }) => [x], grad: {} });
		// @ts-expect-error it has no operand z
		const noOperand = () => definePrimitive({ ...rest, forward: ({ inputs: { z } }) => [z], grad: { x: "none" } });
		// @ts-expect-error it has no axis K
		const noAxis = () => definePrimitive({ ...rest, forward: ({ axes: { K } }) => (K > 0 ? [] : []), grad: { x: "none" } });
		// @ts-expect-error there is nothing of this name to save
		const noSave = () => definePrimitive({ ...rest, forward: () => [], grad: { x: { saves: ["w"], rule: ({ dy }) => dy } } });
		expectTypeOf([noRule, noOperand, noAxis, noSave]).toBeArray();
	});
});
