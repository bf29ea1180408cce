import { add, mul, PrivacyError, reshape, slice, Tensor, ValueError } from "@hushgrad/tensor";
import { expects, shown } from "@hushgrad/tensor/author";
import { checkInteger, refuse } from "./check.ts";
import { formOf, type HostRecord, type HostValue, type Leaf, leavesOf, recordOf } from "./records.ts";
import { checkLoss, type Loss } from "./trainer.ts";

/** Who is protected as a whole, where it is not a single record: a user, a patient, a document. */
export interface PrivacyUnit {
	/** What the statement calls it, in the singular: letters, digits, spaces and hyphens. */
	readonly name: string;
	/** Records of one unit that count in a step, at most: 1 or more. */
	readonly maxRecords: number;
}

/** A frozen copy. @throws ValueError for what is no unit. */
export function unitOf(unit: PrivacyUnit | undefined): PrivacyUnit | undefined {
	if (unit === undefined) return undefined;
	expects("unit", { unit }, { unit: "options" });
	const { name, maxRecords } = unit;
	expects("unit", { name }, { name: "text" });
	if (!/^[\p{L}\p{N}][\p{L}\p{N} -]{0,39}$/u.test(name)) refuse("unit", "named by up to 40 letters, digits, spaces and hyphens", name);
	checkInteger("maxRecords", maxRecords);
	return Object.freeze({ name, maxRecords });
}

/** No units are made without it. */
const PROOF = Symbol("made here");

class RecordUnits<T> {
	readonly #made = true;
	/** The records of each unit that count, frozen: 1 to maxRecords of them, in the order of the list. */
	readonly list: readonly (readonly T[])[];
	/** What they were cut to. */
	readonly maxRecords: number;

	/** `proof` is what this file alone has. */
	constructor(proof: symbol, list: readonly (readonly T[])[], maxRecords: number) {
		if (proof !== PROOF) failUnits();
		this.list = Object.freeze(list);
		this.maxRecords = maxRecords;
		Object.freeze(this);
	}

	/** Whether a value was made by `groupByUnit`. */
	static made(value: unknown): value is RecordUnits<unknown> {
		return typeof value === "object" && value !== null && #made in value;
	}
}

/** Records by the unit that they belong to. Only `groupByUnit` makes them. */
export type Units<T> = RecordUnits<T>;

/**
 * Groups records by the unit that each belongs to, and keeps the first `maxRecords` of each: a rule that depends on nothing but the records
 * of the unit. For another choice of them, shuffle the list beforehand. `keyOf` gives the key of a record, by itself; a number is the same key as its digits. A unit that is
 * removed takes its group with it, and leaves the others as they are.
 * @throws ValueError for a key that is no text and no number.
 */
export function groupByUnit<T>(
	records: readonly T[],
	keyOf: (record: T) => string | number,
	options: { readonly maxRecords: number },
): Units<T> {
	expects("groupByUnit", { records, keyOf, options }, { records: "list", keyOf: "function", options: "options" });
	const { maxRecords } = options;
	checkInteger("maxRecords", maxRecords);
	const groups = new Map<string, T[]>();
	for (const [i, record] of records.entries()) {
		const key = keyOf(record);
		if (typeof key !== "string" && !Number.isFinite(key)) {
			throw new ValueError("dp/unit-key", `groupByUnit: the key of record ${i} is ${shown(key)}, expected a text or a number`);
		}
		const group = groups.get(String(key));
		if (group === undefined) groups.set(String(key), [record]);
		else if (group.length < maxRecords) group.push(record);
	}
	const list = [...groups.values()].map((group) => Object.freeze(group));
	return new RecordUnits(PROOF, list, maxRecords);
}

const fail = (what: string, hint: string): never => {
	throw new PrivacyError("privacy/unit", what, { hint });
};

const failUnits = (): never => fail("expected units made by groupByUnit()", "group the records by it");

/** @throws PrivacyError where a plan names a unit: single records are none. */
export function checkSingle(unit: PrivacyUnit | undefined): void {
	if (unit === undefined) return;
	fail(
		`the plan protects each ${unit.name} as a whole, and these are single records`,
		"group them by groupByUnit(), and call stepOnUnits()",
	);
}

/** @throws PrivacyError unless records are grouped as the plan says. */
export function checkUnits(unit: PrivacyUnit | undefined, units: Units<unknown>): void {
	if (!RecordUnits.made(units)) failUnits();
	if (unit === undefined) {
		fail("the plan protects single records, and these are units", "plan with `unit`: N, L and delta are then those of units");
	} else if (unit.maxRecords !== units.maxRecords) {
		fail(
			`the plan counts ${unit.maxRecords} records of a ${unit.name} at most, these units ${units.maxRecords}`,
			"group with the maxRecords of the plan",
		);
	}
}

/** A unit on the device: the tensors of its records, one more axis in front, and the share of each in the loss, f32 `[maxRecords]`. */
interface DeviceUnit<D> {
	readonly records: D;
	readonly shares: Tensor;
}

/** What encodes a unit, and its loss: both of them made of those of one record. */
interface UnitProgram<T, D> {
	readonly encode: (unit: readonly T[]) => HostRecord;
	readonly loss: Loss<DeviceUnit<D>>;
}

/**
 * The program of a unit of at most so many records: its loss is the mean of the losses of its records. Places that are left are filled with
 * its own first record at a share of 0, so that a loss that is not finite for zeros does not see any. Each place drops by a key of its own.
 */
export function unitProgram<T, D>(encode: (record: T) => HostRecord, loss: Loss<D>, maxRecords: number): UnitProgram<T, D> {
	const places = Array.from({ length: maxRecords }, (_, i) => i);
	/** What one and the same object was last made into: `Batcher` knows by the object that encode() has kept a record. */
	let last: { readonly of: object; readonly text: string; readonly unit: HostRecord } | undefined;
	return {
		encode: (unit) => {
			const given: HostRecord[] = [];
			// Each is read before the next one is encoded: they may be one object, filled anew.
			const leaves = unit.map((record, i) => {
				given.push(encode(record));
				return leavesOf(given[i], [], i);
			});
			checkForms(leaves);
			const records = places.map((i) => leaves[i] ?? leaves[0]);
			const shares = Float32Array.from(places, (i) => (i < unit.length ? 1 / unit.length : 0));
			const whole = { records: stacked(records), shares };
			if (!given.every((record) => record === given[0]) || typeof given[0] !== "object") return whole;
			const text = JSON.stringify(whole);
			if (last?.of !== given[0] || last.text !== text) last = { of: given[0], text, unit: whole };
			return last.unit;
		},
		loss: ({ records, shares }, dropout) => {
			const parts = places.map((i) => {
				const own = checkLoss(loss(atPlace(records, i) as D, dropout?.fold(`record ${i}`)));
				return mul(own, reshape(slice(shares, 0, i, i + 1), []));
			});
			return parts.reduce(add);
		},
	};
}

/** The records of one unit as one: every value with the values of all of them, one after the other. */
function stacked(records: readonly (readonly Leaf[])[]): HostRecord {
	const values = records[0].map(({ path, shape, dtype }, k) => ({
		path,
		value: { values: records.flatMap((leaves) => Array.from(leaves[k].values)), shape: [records.length, ...shape], dtype },
	}));
	return recordOf<HostValue>(values) as HostRecord;
}

/** @throws PrivacyError for records of one unit that differ in form. */
function checkForms(records: readonly (readonly Leaf[])[]): void {
	const [first, ...others] = records.map(formOf);
	const other = others.find((form) => form !== first);
	if (other === undefined) return;
	throw new PrivacyError("record/form", `a record of a unit is ${other}, its first was ${first}`, {
		op: "encode",
		hint: "pad all records to one fixed size: shapes that follow the data would tell records apart",
	});
}

/** The record at one place of a unit: row i of each tensor. */
function atPlace(records: unknown, i: number): unknown {
	if (records instanceof Tensor) return reshape(slice(records, 0, i, i + 1), records.shape.slice(1));
	return Object.fromEntries(Object.entries(records as object).map(([name, value]) => [name, atPlace(value, i)]));
}
