import { readFileSync } from "node:fs";
import { inspect } from "node:util";
import { type DType, print, requestDevice, show, type Tensor, tensor, toNested } from "@hushgrad/tensor";
import { describe, expect, it, vi } from "vitest";
import { useDevice } from "../support/device.ts";

interface Printed {
	readonly dtype: DType;
	readonly shape: readonly number[];
	/** The bits of the elements. */
	readonly words: readonly number[];
	readonly text: string;
}

const device = useDevice();
const goldens: Printed[] = JSON.parse(readFileSync(new URL("../goldens/show.json", import.meta.url), "utf8"));

/** From Int32Array to the array that holds the dtype. */
const held = (words: Int32Array, dtype: DType) =>
	dtype === "f32" ? new Float32Array(words.buffer) : dtype === "bool" ? new Uint32Array(words.buffer) : words;

describe("show", () => {
	it.each(goldens.map((g) => [`${g.dtype} [${g.shape}] ${g.text.slice(0, 20)}`, g] as const))(
		"prints %s as numpy does",
		async (_, golden) => {
			const x = tensor(device(), held(Int32Array.from(golden.words), golden.dtype), golden.shape, golden.dtype);
			expect(await show(x)).toBe(`Tensor(${golden.dtype} [${golden.shape.join(", ")}])\n${golden.text}`);
			x.dispose();
		},
	);

	it("prints to the console", async () => {
		const log = vi.spyOn(console, "log").mockImplementation(() => {});
		await print(tensor(device(), [1, 2]));
		expect(log).toHaveBeenCalledWith("Tensor(f32 [2])\n[1. 2.]");
		log.mockRestore();
	});

	it("refuses what is no tensor, by name", async () => {
		await expect(show([1] as never)).rejects.toMatchObject({ code: "call/argument", message: "show: x is [1], expected a tensor" });
	});
});

describe("console.log and notebooks", () => {
	const shownBy = (x: object): string[] => {
		const notebook = (x as Record<symbol, () => { readonly "text/plain": string }>)[Symbol.for("Jupyter.display")]();
		return [inspect(x), inspect([x], { compact: true, breakLength: 1000 }), notebook["text/plain"], String(x)];
	};

	it("show type, shape and device of a tensor, and nothing of its inside", () => {
		const x = tensor(device(), [[1, 2, 3]]);
		for (const text of shownBy(x)) {
			expect(text).toContain("Tensor(f32 [1, 3])");
			expect(text.length).toBeLessThan(150);
			expect(text).not.toMatch(/storage|GPUBuffer|strides|#inside/);
		}
		expect(inspect(x)).toContain(String(device()));
		x.dispose();
		expect(inspect(x)).toContain("Tensor(f32 [1, 3], released)");
	});

	it("show the name of a device, also after its end", async () => {
		const own = await requestDevice();
		for (const text of shownBy(own)) expect(text).toMatch(/Device\(.+\)/);
		expect(inspect(own)).toContain("0 bytes in 0 buffers");
		own.destroy();
		expect(inspect(own).length).toBeLessThan(200);
	});
});

describe("nested lists", () => {
	const CASES: [string, unknown, readonly number[], DType][] = [
		["a matrix", [[1, 2], [3, 4.5]], [2, 2], "f32"], // biome-ignore format: a matrix
		["a scalar", 3, [], "f32"],
		["a boolean", true, [], "bool"],
		["booleans", [[true], [false]], [2, 1], "bool"],
		["an empty list", [], [0], "f32"],
		["empty rows", [[], []], [2, 0], "f32"],
		[
			"rank 3",
			[
				[[1], [2]],
				[[3], [4]],
				[[5], [6]],
			],
			[3, 2, 1],
			"f32",
		],
		["not numbers", [Number.NaN, Number.NEGATIVE_INFINITY], [2], "f32"],
	];
	it.each(CASES)("%s goes to the device and comes back", async (_, nested, shape, dtype) => {
		const x = tensor(device(), nested as number[]);
		expect([x.shape, x.dtype]).toEqual([shape, dtype]);
		expect(await toNested(x)).toEqual(nested);
		x.dispose();
	});

	it("take another type by name, typed arrays their length", async () => {
		const made: [Tensor, DType, unknown][] = [
			[tensor(device(), [[1, -2]], { dtype: "i32" }), "i32", [[1, -2]]],
			[tensor(device(), [true, false], { dtype: "f32" }), "f32", [1, 0]],
			[tensor(device(), [1, 0], { dtype: "bool" }), "bool", [true, false]],
			[tensor(device(), Int32Array.of(4, 5)), "i32", [4, 5]],
			[tensor(device(), [true, false], [2], "bool"), "bool", [true, false]],
		];
		for (const [x, dtype, nested] of made) {
			expect(x.dtype).toBe(dtype);
			expect(await toNested(x)).toEqual(nested);
		}
	});

	const REFUSED: [string, unknown, string, string][] = [
		["a short row", [[1, 2], [3]], "tensor/ragged", "element[1] is a list of 1, expected a list of 2"],
		["a row that is deeper", [[[1]], [[[2]]]], "tensor/ragged", "element[1][0][0] is a list of 1, expected a number"],
		["a number among rows", [[1], 2], "tensor/ragged", "element[1] is 2, expected a list of 1"],
		["numbers and booleans", [[1, true]], "tensor/host-value", "element[0][1] is true, the first is 1"],
		["a string", [["1"]], "tensor/host-value", 'element[0][0] is "1"'],
		["a hole", [1, undefined], "tensor/host-value", "element[1] is undefined"],
		["nothing", undefined, "tensor/host-value", "element is undefined"],
		["an object", {}, "tensor/host-value", "element is an object"],
	];
	it.each(REFUSED)("refuses %s and names the place", (_, nested, code, text) => {
		expect(() => tensor(device(), nested as number[])).toThrow(expect.objectContaining({ code, message: expect.stringContaining(text) }));
	});
});

describe("a conversion that would lose something is refused", () => {
	const LOST: [string, unknown, DType][] = [
		["beyond f32", [1e300], "f32"],
		["beyond f16", [70000], "f16"],
		["beyond bf16", [3.4e38 * 1.01], "bf16"],
		["a fraction in i32", [0.5], "i32"],
		["a string", ["1"], "f32"],
		["null", [null], "f32"],
		["undefined", [undefined], "f32"],
		["a list in a flat one", [[1]], "f32"],
		["2 as a bool", [2], "bool"],
	];
	it.each(LOST)("%s", (_, values, dtype) => {
		expect(() => tensor(device(), values as number[], [1], dtype)).toThrow(
			expect.objectContaining({ code: "tensor/host-value", message: expect.stringMatching(/^tensor: element 0 is /) }),
		);
	});

	it("infinity and rounding are none", async () => {
		const x = tensor(device(), [Number.POSITIVE_INFINITY, 0.1], [2], "bf16");
		expect(await toNested(x)).toEqual([Number.POSITIVE_INFINITY, 0.10009765625]);
	});
});
