import * as t from "@hushgrad/tensor";
import { data, type Tensor, valueAndGrad } from "@hushgrad/tensor";
import { describe, expect, it } from "vitest";
import { argumentsFor, keyOf } from "../fuzz/arguments.ts";
import { readSurface, type Target } from "../fuzz/surface.ts";
import type { World } from "../fuzz/world.ts";
import { useDevice } from "../support/device.ts";

/** What has no slope: told by this test, not by the library. */
const DISCRETE = "discrete";

const device = useDevice();
const surface = readSurface(new URL("../../", import.meta.url));
const module = t as unknown as Readonly<Record<string, (...args: readonly unknown[]) => unknown>>;

/** Functions that take tensors and give them, but are no functions in the sense of mathematics. */
const NOT_MEANT = [
	"assign",
	"allclose",
	"write",
	"checkFinite",
	"data",
	"item",
	"print",
	"show",
	"toNested",
	"valueAndGrad",
	"vjp",
	"jvp",
	"hvp",
	"grad",
	"hessian",
	"jacobian",
	"vmap",
	"customVjp",
];
/** How many of the tensors of f32 a function can be differentiated by, where the others are constants by its definition. */
const ONLY: Readonly<Record<string, number>> = { rope: 1 };
const targets = surface.targets.filter(
	(x) =>
		x.entry === "@hushgrad/tensor" &&
		x.kind === "function" &&
		x.parameters.some((p) => /\bTensor\b/.test(p.type)) &&
		!NOT_MEANT.includes(x.name),
);

/** Generic values in (0.3, 0.7): no two alike, none near a kink at 0, 0.5 or 1. */
const generic = (n: number, from: number): number[] =>
	Array.from({ length: n }, (_, i) => 0.3 + 0.18 * (((i + from) * 0.618034) % 1) + (i % 2) * 0.22);
const signs = (n: number, from: number): number[] => generic(n, from).map((v, i) => (v - 0.5) * (i % 3 === 0 ? 6 : -5));

/** A function of the f32 tensors among the arguments of a call, all in one vector. */
interface Flattened {
	readonly size: number;
	readonly run: (x: Tensor) => Tensor;
}

/** Every tensor of f32 in some arguments, exchanged. */
function exchange(value: unknown, by: (x: Tensor) => Tensor): unknown {
	if (value instanceof t.Tensor) return value.dtype === "f32" ? by(value) : value;
	return Array.isArray(value) ? value.map((v) => exchange(v, by)) : value;
}

/** What a call gives, as one vector; undefined where nothing of it is f32. */
function vectorOf(result: unknown): Tensor | undefined {
	const list = result instanceof t.Tensor ? [result] : Array.isArray(result) ? result : [(result as { values?: Tensor })?.values];
	const floats = list.filter((x): x is Tensor => x instanceof t.Tensor && x.dtype === "f32");
	return floats.length === 0
		? undefined
		: t.cat(
				floats.map((x) => t.reshape(x, [-1])),
				0,
			);
}

async function flattened(target: Target): Promise<Flattened> {
	const args = await argumentsFor({ device: device() } as World, target, surface);
	const shapes: (readonly number[])[] = [];
	exchange(args, (x) => {
		if (shapes.length < (ONLY[target.name] ?? Number.POSITIVE_INFINITY)) shapes.push(x.shape);
		return x;
	});
	const sizes = shapes.map((s) => s.reduce((n, d) => n * d, 1));
	if (sizes.length === 0) return { size: 0, run: (x) => x };
	const run = (x: Tensor): Tensor => {
		const parts = t.split(x, sizes, 0).map((p, i) => t.reshape(p, shapes[i]));
		const result = vectorOf(module[target.name](...(exchange(args, (own) => parts.shift() ?? own) as unknown[])));
		if (result === undefined) throw new t.ValueError(DISCRETE, `${target.name}: nothing of f32`);
		return result;
	};
	return { size: sizes.reduce((a, b) => a + b, 0), run };
}

/** Operations that leave a vector as it is: each must leave its place on the tape too. */
const NOTHING: readonly ((x: Tensor) => Tensor)[] = [
	(x) => t.expand(x, x.shape),
	(x) => t.reshape(x, x.shape),
	(x) => t.permute(x, [0]),
	(x) => t.movedim(x, 0, 0),
	(x) => t.squeeze(t.unsqueeze(x, 0), 0),
	(x) => t.slice(x, 0, 0, x.size),
	(x) => t.flip(x, []),
	(x) => t.roll(x, 0, 0),
	(x) => t.cat([x], 0),
	(x) => t.split(x, [x.size], 0)[0],
	(x) => t.chunk(x, 1, 0)[0],
	(x) => t.pad(x, [[0, 0]]),
	(x) => t.cast(x, "f32"),
	(x) => t.sum(x, []),
	(x) => t.flatten(x),
	(x) => t.reshape(t.stack([x], 0), x.shape),
	(x) => t.add(x, t.zerosLike(x)),
	(x) => t.mul(x, t.onesLike(x)),
];
const unchanged = (x: Tensor): Tensor => NOTHING.reduce((y, f) => f(y), x);

const WAYS: Readonly<Record<string, (f: Flattened["run"]) => Flattened["run"]>> = {
	"by itself": (f) => f,
	"between operations that change nothing": (f) => (x) => unchanged(f(unchanged(x))),
	"in a checkpoint": (f) => (x) => t.checkpoint(f, [x]),
	"for each record": (f) => (x) => t.reshape(t.vmap((one: Tensor) => f(one))(t.expand(t.unsqueeze(x, 0), [2, x.size])), [-1]),
};

/** Weights of a functional: as many as there are elements. */
const weights = (n: number, from: number): Tensor => t.tensor(device(), signs(n, from));

/**
 * w . (y + y²): where f is linear too, its second derivative is not 0, so that a place on the tape that went lost inside its
 * gradient shows.
 */
const functional = (y: Tensor): Tensor => t.sum(t.mul(t.add(y, t.square(y)), weights(y.size, 5)));

/** c . the gradient of w . (f + f²), and in `grads` the gradient of that. */
function twice(f: Flattened["run"], x: Tensor): { readonly slope: Tensor; readonly second: Tensor } {
	const outer = { value: x };
	const { value, grads } = valueAndGrad(() => {
		const inner = { value: outer.value };
		const first = valueAndGrad(() => functional(f(inner.value)), [inner]).grads[0];
		return t.sum(t.mul(first, weights(x.size, 11)));
	}, [outer]);
	return { slope: value, second: grads[0] };
}

/** c . the gradient of w . (f + f²). */
function once(f: Flattened["run"], x: Tensor): Tensor {
	const slot = { value: x };
	const gradient = valueAndGrad(() => functional(f(slot.value)), [slot]).grads[0];
	return t.sum(t.mul(gradient, weights(x.size, 11)));
}

const H = 4e-3;
const outcomes = new Map<string, string[]>();

describe.each(Object.entries(WAYS))("%s", (way, wrap) => {
	it.each(targets.map((x) => [keyOf(x), x] as const))(
		"%s: its second derivative is the slope of the first, unless its results are discrete",
		async (name, target) => {
			const { size, run } = await flattened(target);
			if (size === 0) return void outcomes.set(name, [DISCRETE]);
			const f = wrap(run);
			const point = generic(size, 1);
			const direction = signs(size, 3);
			const slopeAt = async (h: number): Promise<number> => {
				const s = device().scope<Tensor>(() =>
					once(
						f,
						t.tensor(
							device(),
							point.map((v, i) => v + h * direction[i]),
						),
					),
				);
				const [value] = await data(s);
				s.dispose();
				return value;
			};
			let made: ReturnType<typeof twice> | undefined;
			try {
				made = device().scope(() => twice(f, t.tensor(device(), point)));
			} catch (error) {
				expect((error as t.HushgradError).code).toBe(DISCRETE);
				outcomes.set(name, [...(outcomes.get(name) ?? []), `${way}: discrete`]);
				return;
			}
			const second = [...(await data(made.second))];
			const bend = second.reduce((s, v, i) => s + v * direction[i], 0);
			const scale = 1 + second.reduce((s, v, i) => s + Math.abs(v * direction[i]), 0);
			const expected = ((await slopeAt(H)) - (await slopeAt(-H))) / (2 * H);
			for (const x of Object.values(made)) x.dispose();
			expect(Math.abs(bend - expected), `${bend} against ${expected}`).toBeLessThan(0.02 * scale);
			outcomes.set(name, [...(outcomes.get(name) ?? []), Math.abs(expected) < 0.02 ? "0" : "checked"]);
		},
	);
});

it("was asked of every function, and most have one", () => {
	const all = [...outcomes];
	expect(all.length).toBe(targets.length);
	if (process.env.HUSHGRAD_SECOND !== undefined) for (const [name, o] of all) console.log(`${name}: ${o.join(", ")}`);
	expect(all.filter(([, o]) => o.includes("checked")).length).toBeGreaterThan(targets.length / 3);
});
