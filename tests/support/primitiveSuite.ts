import { data, type Tensor } from "@hushgrad/tensor";
import type { Bound, NdArray, Primitive } from "@hushgrad/tensor/author";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { expectWithin } from "./bounds.ts";
import { arbitraryDraw, asDtype, type Case, caseOf, dtypeOf, otherTypes, typeIn, upload } from "./cases.ts";
import { testDerivatives } from "./derivatives.ts";
import { useDevice } from "./device.ts";
import { part } from "./environment.ts";
import { testRecords } from "./recordProperties.ts";
import { numbered } from "./registry.ts";

const boundOf = (p: Primitive): Bound => p.spec.test?.bound ?? { why: "correctly rounded" };

/** The properties that every primitive has to have. */
export function testPrimitives(primitives: readonly Primitive[]): void {
	const device = useDevice({ debug: { memory: true } });
	const isNumbered = (p: Primitive) => numbered().includes(p);

	/** What is overwritten lies in one piece; other operands in any way. */
	const operandsOf = (p: Primitive, c: Case, dtype = (name: string) => dtypeOf(p, name)): Tensor[] => {
		const targets = p.inPlace ? p.signature.outputs.map((o) => o.name) : [];
		return p.signature.inputs.map(({ name }) => upload(device(), c.inputs[name], dtype(name), targets.includes(name) ? "plain" : c.layout));
	};

	/** Runs a primitive and compares every result, or what it overwrote, with the reference. */
	async function compare(p: Primitive, c: Case, operands: () => Tensor[], bound: Bound, convert = (v: number) => v): Promise<void> {
		const outputs = device().scope<Tensor[]>(() => p.apply(operands(), c.attrs));
		const expected = p.spec.reference(c.inputs, c.attrs);
		try {
			expect(outputs.length).toBe(expected.length);
			for (let i = 0; i < expected.length; i++) {
				expect(outputs[i].shape).toEqual(expected[i].shape);
				expectWithin(await data(outputs[i]), expected[i].data.map(convert), bound);
			}
		} finally {
			for (const t of outputs) t.dispose();
		}
	}

	/** Operands that are numbers here stand in the title. */
	const titleOf = (p: Primitive) => [p.spec.name, ...Object.keys(p.spec.attrs)].join(", number ");

	describe.each(primitives.map((p) => [isNumbered(p) ? titleOf(p) : p.spec.name, p] as const))("%s", (_, p) => {
		it("equals its float64 reference, writes nothing beside its result and reads nothing unwritten", async () => {
			await fc.assert(
				fc.asyncProperty(arbitraryDraw(p), async (draw) => {
					const c = caseOf(p, draw);
					await compare(p, c, () => operandsOf(p, c), boundOf(p));
				}),
				part(1),
			);
			await device().flush();
		});

		const others = otherTypes(p).filter((d) => d !== "bf16" && d !== "u8");
		it.each(others)("equals its reference in %s", async (dtype) => {
			await fc.assert(
				fc.asyncProperty(arbitraryDraw(p), async (draw) => {
					const c = asDtype(p, caseOf(p, draw), dtype);
					const operands = () => operandsOf(p, c, (name) => typeIn(p, name, dtype));
					if (dtype === "f16" && !device().has("shader-f16")) {
						expect(() => device().scope<Tensor[]>(operands)).toThrow(expect.objectContaining({ code: "device/no-f16" }));
						return;
					}
					const { abs = 0, ulp = 0, why } = boundOf(p);
					const bound =
						dtype === "f16" ? { abs: abs + 2 ** -24, ulp: ulp + 2 ** 12, why: `${why}, rounded to f16` } : { why: "whole numbers" };
					await compare(p, c, operands, bound, dtype === "u32" ? (v) => v >>> 0 : undefined);
				}),
				part(0.1),
			);
		});

		it("refuses wrong shapes, dtypes and released operands by name, and leaves nothing behind", async () => {
			const refuses = (operands: readonly Tensor[], kind: string) => {
				const { liveBuffers } = device().memory();
				expect(() => device().scope<Tensor[]>(() => p.apply(operands))).toThrow(
					expect.objectContaining({ name: kind, message: expect.stringContaining(`${p.spec.name}: `) }),
				);
				expect(device().memory().liveBuffers).toBe(liveBuffers);
			};
			await fc.assert(
				fc.asyncProperty(arbitraryDraw(p), fc.nat(), async (draw, pick) => {
					const c = caseOf(p, draw);
					const { inputs } = p.signature;
					const at = pick % inputs.length;
					const { name, axes, leading, broadcast } = inputs[at];
					const replaced = (x: NdArray, dtype = dtypeOf(p, name)) =>
						operandsOf(p, c).map((t, i) => (i === at ? upload(device(), x, dtype) : t));
					const { data: values, shape } = c.inputs[name];
					const zeros = (to: readonly number[]): NdArray => ({ shape: to, data: new Float64Array(to.reduce((n, d) => n * d, 1)) });
					device().scope<void>(() => {
						if (axes.length > 0) refuses(replaced(zeros(axes.slice(1).map(() => 2))), "ShapeError");
						if (!leading) refuses(replaced(zeros([2, 2, 2, ...shape])), "ShapeError");
						const bound = axes.findIndex((a) => /^\d+$/.test(a) || inputs.some((o, i) => i !== at && o.axes.includes(a)));
						if (bound >= 0)
							refuses(replaced(zeros(shape.map((d, k) => (k === shape.length - axes.length + bound ? d + 1 : d)))), "ShapeError");
						if (leading && !broadcast && inputs.filter((o) => o.leading && !o.broadcast).length > 1)
							refuses(replaced(zeros([3, ...shape])), "ShapeError");
						refuses(replaced({ data: values.map(() => 0), shape }, "u8"), "DTypeError");
						refuses(operandsOf(p, c).slice(1), "ValueError");
						if (p.inPlace && p.signature.outputs.some((o) => o.name === name) && values.length > 1) {
							refuses(operandsOf(p, c).with(at, upload(device(), c.inputs[name], dtypeOf(p, name), "strided")), "ValueError");
						}
						const released = operandsOf(p, c);
						released[at].dispose();
						expect(() => p.apply(released, c.attrs)).toThrow(expect.objectContaining({ name: "DisposedError" }));
						for (const [attr, value] of Object.entries(p.spec.attrs)) {
							if (typeof value !== "number") continue;
							expect(() => p.apply(operandsOf(p, c), { [attr]: Number.NaN })).toThrow(expect.objectContaining({ code: "op/attribute" }));
						}
					});
					const works = device().scope<Tensor[]>(() => p.apply(operandsOf(p, c), c.attrs));
					for (const t of works) t.dispose();
				}),
				part(0.05),
			);
			await device().flush();
		});

		const floats = p.signature.inputs.filter((o) => dtypeOf(p, o.name) === "f32" && p.spec.grad[o.name] !== "none");
		if (floats.length > 0)
			it("passes NaN on exactly where its reference does", async () => {
				await fc.assert(
					fc.asyncProperty(arbitraryDraw(p), fc.nat(), async (draw, pick) => {
						const c = caseOf(p, draw);
						const { name } = floats[pick % floats.length];
						const values = c.inputs[name].data.slice();
						if (values.length === 0) return;
						values[pick % values.length] = Number.NaN;
						const spoiled = { ...c, inputs: { ...c.inputs, [name]: { ...c.inputs[name], data: values } } };
						const expected = p.spec.reference(spoiled.inputs, c.attrs)[0].data;
						const [y, ...rest] = device().scope<Tensor[]>(() => p.apply(operandsOf(p, spoiled), c.attrs));
						const actual = await data(y);
						for (const t of [y, ...rest]) t.dispose();
						expected.forEach((e, i) => {
							if (Number.isNaN(e) !== Number.isNaN(actual[i])) throw new Error(`element ${i} is ${actual[i]}, expected ${e}`);
						});
					}),
					part(0.1),
				);
			});

		testDerivatives(device, p);
		testRecords(device, p);
	});
}
