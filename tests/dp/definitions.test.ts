import { type Domain, KernelFamily, type Primitive } from "@hushgrad/tensor/author";
import { describe, expect, it } from "vitest";
import { dtypeOf } from "../support/cases.ts";
import { registries } from "../support/registry.ts";

const { primitives, kernels } = registries.dp;

/** The numbers that a whole one of 32 bits may be. */
const RANGES: Readonly<Record<string, readonly [number, number]>> = { i32: [-(2 ** 31), 2 ** 31 - 1], u32: [0, 2 ** 32 - 1] };

/** What a definition says for its tests, each part of it. */
const testOf = (p: Primitive) => {
	const { bound, domains, sizes, nonEmpty, variants } = p.spec.test ?? {};
	return {
		bound,
		domains: domains && (Object.entries(domains) as [string, Domain][]),
		sizes: sizes && Object.entries(sizes),
		nonEmpty,
		variants,
	};
};
const axesOf = (p: Primitive): string[] => p.signature.inputs.flatMap(({ axes }) => axes);

it("kernels and primitives have one name, by which profiles and errors tell them", () => {
	const names = kernels.map((k) => (k instanceof KernelFamily ? k.name : k.key));
	// Operations that are variants of one have its kernel.
	expect(names.sort()).toEqual([...new Set(primitives.map((p) => p.spec.name.split(".").slice(0, 2).join("/")))].sort());
	for (const name of names) expect(name).toMatch(/^dp\/[a-zA-Z]+$/);
});

describe.each(primitives.map((p) => [p.spec.name, p] as const))("the definition of %s", (_, p) => {
	const { bound, domains, sizes, nonEmpty, variants } = testOf(p);

	it("says why its bound is what it is", () => {
		expect(bound?.why).toMatch(/\w/);
	});

	it("says of each operand how its gradient is had", () => {
		for (const rule of Object.values(p.spec.grad)) if (typeof rule === "string") expect(["none", "missing"]).toContain(rule);
	});

	it("has tests draw values from ranges, each of more than one, that the type of the operand holds", () => {
		expect(domains).not.toEqual([]);
		for (const [name, domain] of domains ?? []) {
			const [low, high] = "whole" in domain ? domain.whole : (domain as { readonly range: readonly [number, number] }).range;
			expect(low).toBeLessThan(high);
			const [least, most] = RANGES[dtypeOf(p, name)] ?? [-(2 ** 24), 2 ** 24];
			expect(low).toBeGreaterThanOrEqual(least);
			expect(high).toBeLessThanOrEqual(most);
		}
	});

	it("has tests choose among several extents of its axes, and leave out none that may be 0", () => {
		expect(sizes).not.toEqual([]);
		for (const [axis, extents] of sizes ?? []) {
			expect(axesOf(p)).toContain(axis);
			expect(new Set(extents).size).toBeGreaterThan(1);
		}
		expect(nonEmpty).not.toEqual([]);
		for (const axis of nonEmpty ?? []) expect(axesOf(p)).toContain(axis);
	});

	it("has tests try attributes other than the defaults", () => {
		expect(variants).not.toEqual([]);
		for (const variant of variants ?? []) expect({ ...p.spec.attrs, ...variant }).not.toEqual(p.spec.attrs);
	});
});
