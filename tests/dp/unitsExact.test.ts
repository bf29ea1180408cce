import { groupByUnit, type HostRecord, type Units } from "@hushgrad/dp";
import { describe, expect, it } from "vitest";
import { checkSingle, checkUnits, type PrivacyUnit, unitOf, unitProgram } from "../../packages/dp/src/units.ts";

const USER = { name: "user", maxRecords: 2 };
const NOTES = ["a1", "b1", "a2", "a3", "c1", "b2"];
const grouped = (maxRecords: number): Units<string> => groupByUnit(NOTES, (note) => note[0], { maxRecords });

describe("a unit", () => {
	it("is a frozen copy of its name and its cap", () => {
		const given = { ...USER, more: 1 };
		const unit = unitOf(given);
		given.maxRecords = 9;
		expect(unit).toEqual(USER);
		expect(Object.isFrozen(unit)).toBe(true);
		expect(unitOf(undefined)).toBe(undefined);
		for (const name of ["a", "7", "Ärztin 2-b", `x${"y".repeat(39)}`]) expect(unitOf({ name, maxRecords: 1 })?.name).toBe(name);
	});

	const NAME = "unit must be named by up to 40 letters, digits, spaces and hyphens, got";
	it.each<[unknown, string]>([
		[null, "unit: unit is null, expected options in an object"],
		[3, "unit: unit is 3, expected options in an object"],
		[{ maxRecords: 1 }, "unit: name is undefined, expected a string"],
		[{ name: "", maxRecords: 1 }, NAME],
		[{ name: " user", maxRecords: 1 }, NAME],
		[{ name: "-user", maxRecords: 1 }, NAME],
		[{ name: "user\nε = 0", maxRecords: 1 }, NAME],
		[{ name: "a:b", maxRecords: 1 }, NAME],
		[{ name: "x".repeat(41), maxRecords: 1 }, NAME],
		[{ name: "user" }, "maxRecords must be an integer in 1.."],
		[{ name: "user", maxRecords: 0 }, "maxRecords must be an integer in 1.."],
	])("is not %j", (unit, says) => {
		expect(() => unitOf(unit as PrivacyUnit)).toThrow(
			expect.objectContaining({ name: "ValueError", message: expect.stringContaining(says) }),
		);
	});
});

describe("groupByUnit", () => {
	it("keeps the first of each unit, in the order of the list, and nobody can add to them", () => {
		for (const [most, list] of [
			[1, [["a1"], ["b1"], ["c1"]]],
			[2, [["a1", "a2"], ["b1", "b2"], ["c1"]]],
			[9, [["a1", "a2", "a3"], ["b1", "b2"], ["c1"]]],
		] as const) {
			const units = grouped(most);
			expect(units.list).toEqual(list);
			expect(units.maxRecords).toBe(most);
			expect([units, units.list, ...units.list].every(Object.isFrozen)).toBe(true);
		}
		expect(groupByUnit([], String, { maxRecords: 1 }).list).toEqual([]);
	});

	it("takes a number for its digits, and no other key", () => {
		expect(groupByUnit([1, "1", "2", -0, 0], (key) => key, { maxRecords: 9 }).list).toEqual([[1, "1"], ["2"], [-0, 0]]);
		for (const [bad, shown] of [
			[undefined, "undefined"],
			[null, "null"],
			[Number.NaN, "NaN"],
			[Number.POSITIVE_INFINITY, "Infinity"],
		] as const) {
			expect(() => groupByUnit(NOTES, (note) => (note === "b1" ? (bad as never) : note), { maxRecords: 2 })).toThrow(
				expect.objectContaining({
					code: "dp/unit-key",
					message: `groupByUnit: the key of record 1 is ${shown}, expected a text or a number`,
				}),
			);
		}
		expect(() => groupByUnit(NOTES, String, { maxRecords: 0 })).toThrow("maxRecords must be an integer in 1..");
	});
});

it("no units are made through the class of others: a user in several of them would count several times", () => {
	const { constructor: Forged } = grouped(2) as unknown as { constructor: new (...args: unknown[]) => never };
	for (const args of [
		[[["a1"], ["a2"]], 2],
		[Symbol("made here"), [["a1"], ["a2"]], 2],
	]) {
		expect(() => new Forged(...args)).toThrow(expect.objectContaining({ name: "PrivacyError", code: "privacy/unit" }));
	}
});

describe("the door of a step", () => {
	const refusal = (message: string, hint: string) =>
		expect.objectContaining({
			name: "PrivacyError",
			code: "privacy/unit",
			message: expect.stringContaining(message),
			hint: expect.stringContaining(hint),
		});

	it("lets records in where records are protected, and units where units are", () => {
		expect(checkSingle(undefined)).toBe(undefined);
		expect(checkUnits(USER, grouped(2))).toBe(undefined);
	});

	it("refuses one for the other, another cap, and what groupByUnit() has not made", () => {
		expect(() => checkSingle(USER)).toThrow(
			refusal("the plan protects each user as a whole, and these are single records", "call stepOnUnits()"),
		);
		expect(() => checkUnits(undefined, grouped(2))).toThrow(
			refusal("the plan protects single records, and these are units", "plan with `unit`"),
		);
		expect(() => checkUnits(USER, grouped(3))).toThrow(
			refusal("the plan counts 2 records of a user at most, these units 3", "group with the maxRecords of the plan"),
		);
		for (const none of [undefined, null, 3, "units", { list: [NOTES], maxRecords: 2 }, Object.create(grouped(2)) as object]) {
			for (const unit of [USER, undefined]) {
				expect(() => checkUnits(unit, none as Units<string>)).toThrow(
					refusal("expected units made by groupByUnit()", "group the records by it"),
				);
			}
		}
	});
});

describe("what a unit is encoded into", () => {
	const encodes = (encode: (n: number) => HostRecord, maxRecords: number) =>
		unitProgram(encode, () => undefined as never, maxRecords).encode;

	it("is its records one after the other, the first again where some are missing, and the share of each in the mean", () => {
		const encode = encodes((n) => ({ x: Float32Array.of(n, -n), inner: { y: n / 2 } }), 3);
		expect(encode([1, 2])).toEqual({
			records: {
				x: { values: [1, -1, 2, -2, 1, -1], shape: [3, 2], dtype: "f32" },
				inner: { y: { values: [0.5, 1, 0.5], shape: [3], dtype: "f32" } },
			},
			shares: Float32Array.of(0.5, 0.5, 0),
		});
		expect(encode([4, 5, 6])).toMatchObject({
			records: { inner: { y: { values: [2, 2.5, 3] } } },
			shares: Float32Array.of(1, 1, 1).map((v) => v / 3),
		});
	});

	it("is what each record was when it was read, though one object is filled anew for all", () => {
		const scratch = { x: Float32Array.of(0) };
		const encode = encodes((n) => {
			scratch.x[0] = n;
			return scratch;
		}, 2);
		expect(encode([7, 8])).toMatchObject({ records: { x: { values: [7, 8] } } });
	});

	it("is one and the same object for one and the same record that does not change, so that it is found out", () => {
		const kept = { x: Float32Array.of(1) };
		const encode = encodes(() => kept, 2);
		const first = encode([1]);
		expect(encode([2])).toBe(first);
		expect(encode([1, 2]), "of more records").not.toBe(first);
		kept.x[0] = 2;
		expect(encode([2]), "of another value").not.toBe(first);
		const fresh = encodes(() => ({ x: Float32Array.of(1) }), 2);
		expect(fresh([1])).not.toBe(fresh([1]));
		const half = encodes((n) => (n === 0 ? kept : { x: Float32Array.of(n) }), 2);
		expect(half([0, 1])).not.toBe(half([0, 1]));
		const numbers = encodes((n) => n as never, 1);
		expect(numbers([3])).not.toBe(numbers([3]));
	});

	it("has no records of different forms", () => {
		const encode = encodes((n) => ({ x: new Float32Array(n) }), 3);
		expect(() => encode([2, 2, 3])).toThrow(
			expect.objectContaining({
				...{ name: "PrivacyError", code: "record/form", hint: expect.stringContaining("pad all records to one fixed size") },
				message: expect.stringMatching(/a record of a unit is .*3.*, its first was .*2/),
			}),
		);
	});
});
