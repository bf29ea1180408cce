import * as t from "@hushgrad/tensor";
import { type Tensor, ValueError } from "@hushgrad/tensor";
import { blaming, named, unblamed } from "@hushgrad/tensor/author";
import { describe, expect, it } from "vitest";
import { useDevice } from "../support/device.ts";

const device = useDevice();
const of = (shape: readonly number[], dtype: t.DType = "f32"): Tensor => t.ones(device(), shape, dtype);

describe("an error names the function that was called", () => {
	it.each<[string, string, () => Tensor]>([
		["layerNorm", "op/dtype", () => t.layerNorm(of([2], "i32"))],
		["layerNorm", "norm/affine", () => t.layerNorm(of([2, 3]), { weight: of([2]) })],
		["mean", "op/dtype", () => t.mean(of([2], "i32"))],
		["std", "axis/range", () => t.std(of([2]), [1])],
		["variance", "op/dtype", () => t.variance(of([2], "u32"))],
		["zeros", "shape/extent", () => t.zeros(device(), [-1])],
		["onesLike", "create/storage", () => t.onesLike(t.cast(of([2]), "bf16"))],
		["crossEntropy", "axis/range", () => t.crossEntropy(of([]), of([], "i32"))],
		["crossEntropy", "loss/labels", () => t.crossEntropy(of([2, 3]), of([2]))],
	])("%s: %s", (op, code, make) => {
		const message = expect.stringMatching(new RegExp(`^${op}: `));
		expect(() => device().scope(make)).toThrow(expect.objectContaining({ op, code, message }));
	});

	it("keeps code, path and hint, and puts the name where another stood", () => {
		const error = new ValueError("op/attribute", "inner: x is 3", { op: "inner", path: "layers.0", hint: "try 2" });
		error.blame("outer");
		expect(error).toMatchObject({ op: "outer", code: "op/attribute", path: "layers.0", hint: "try 2" });
		expect(error.message).toBe("outer: x is 3\n  in layers.0\n  Hint: try 2");
		const bare = new ValueError("op/attribute", "x is 3");
		bare.blame("middle");
		expect(bare.message).toBe("middle: x is 3");
		bare.blame("outer");
		expect(bare.message).toBe("outer: x is 3");
		const prefixed = new ValueError("op/attribute", "outer: x is 3");
		prefixed.blame("outer");
		expect(prefixed.message).toBe("outer: x is 3");
	});

	it("a promise is rejected with an error that does", async () => {
		const late = named("outer", async (x: number): Promise<number> => {
			if (x > 2) throw new ValueError("op/attribute", `inner: x is ${x}`, { op: "inner" });
			return x;
		});
		await expect(late(2)).resolves.toBe(2);
		await expect(late(3)).rejects.toMatchObject({ op: "outer", message: "outer: x is 3" });
	});

	it("but an error of a function that was handed over names what that called, at once or later", async () => {
		const refuse = (): never => {
			throw new ValueError("op/attribute", "theirs: x is 3", { op: "theirs" });
		};
		expect(() => blaming("outer", () => unblamed(refuse))).toThrow(/^theirs: x is 3$/);
		await expect(blaming("outer", async () => unblamed(async () => refuse()))).rejects.toMatchObject({ op: "theirs" });
	});
});
