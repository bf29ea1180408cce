import { createHash } from "node:crypto";
import { insecureNoiseForTests, secureNoise } from "@hushgrad/dp";
import { describe, expect, it } from "vitest";
import { Allocation } from "../../packages/dp/src/allocation.ts";
import { Roster } from "../../packages/dp/src/roster.ts";

const N = 60;
/** What tells so many records apart. */
const namesOf = (count: number): readonly string[] => Array.from({ length: count }, (_, i) => `record ${i}`);

describe("an allocation", () => {
	const secret = "ab".repeat(32);
	const allocation = new Allocation(secret);
	const hash = (text: string): string => createHash("sha256").update(`${secret} ${text}`).digest("hex");
	/** floor(u·length), u the first 52 bits. */
	const stepOf = (epoch: number, name: string, copy: number, length: number): number =>
		Number((BigInt(`0x${hash(`step ${epoch} ${name} ${copy}`).slice(0, 13)}`) * BigInt(length)) >> 52n);

	it("gives a record the step that follows from secret, epoch, record and copy", () => {
		for (const epoch of [0, 1, 7]) {
			const steps = [...allocation.stepsOf(namesOf(N), epoch, 5)];
			expect(steps).toEqual(namesOf(N).map((name) => stepOf(epoch, name, 0, 5)));
			expect(new Set(steps)).toEqual(new Set([0, 1, 2, 3, 4]));
		}
		expect([...allocation.stepsOf(["a", "b", "a", "a"], 0, 999)]).toEqual([
			stepOf(0, "a", 0, 999),
			stepOf(0, "b", 0, 999),
			stepOf(0, "a", 1, 999),
			stepOf(0, "a", 2, 999),
		]);
	});

	it("leaves all others where they are when the order changes, or one is taken away, of several equal ones too", () => {
		const names = [...namesOf(N), "record 3", "record 3"];
		const placed = (list: readonly string[]) => [...allocation.stepsOf(list, 2, 4)].map((s, i) => `${list[i]} ${s}`).sort();
		expect(placed(names.toReversed())).toEqual(placed(names));
		for (const gone of [0, 3, N, N + 1]) {
			const rest = placed(names.toSpliced(gone, 1));
			const all = placed(names);
			for (const one of rest) all.splice(all.indexOf(one), 1);
			expect(all.length).toBe(1);
		}
	});

	it("is drawn from 256 bits of a source", () => {
		const own = insecureNoiseForTests(10).forStep(2 ** 31);
		const words = Array.from({ length: 8 }, () =>
			Math.floor(own.uniform53() * 2 ** 32)
				.toString(16)
				.padStart(8, "0"),
		);
		expect(Allocation.draw(insecureNoiseForTests(10)).secret).toBe(words.join(""));
		const drawn = Array.from({ length: 50 }, () => Allocation.draw(secureNoise()).secret);
		expect(drawn.every((s) => /^[0-9a-f]{64}$/.test(s))).toBe(true);
		expect(new Set(drawn).size).toBe(50);
	});

	it("has a name and a seal of records that do not tell the secret", () => {
		expect(allocation.name).toBe(hash("name").slice(0, 32));
		expect(allocation.sealOf(["b", "a", "c"])).toBe(hash("records a b c"));
		expect(allocation.sealOf(["b", "a", "a"])).not.toBe(allocation.sealOf(["b", "a", "b"]));
	});
});

describe("a roster", () => {
	const allocation = new Allocation("cd".repeat(32));
	const changed = { name: "PrivacyError", code: "privacy/records-changed" };

	it("asks who the records are where other objects are handed over, and takes no other records", () => {
		const roster = new Roster(allocation, undefined);
		expect(roster.seal).toBeUndefined();
		let asked = 0;
		const of = (list: number | readonly unknown[], names: readonly string[] = ["a", "b"]) =>
			roster.identitiesOf(list, () => {
				asked++;
				return names;
			});
		const list = [{}, {}];
		const first = of(list);
		expect(of([...list])).toBe(first);
		expect(asked).toBe(1);
		expect(roster.seal).toBe(allocation.sealOf(["a", "b"]));
		expect(of(list.toReversed(), ["b", "a"])).toEqual(["b", "a"]);
		expect(of(2)).toEqual(["a", "b"]);
		expect(of(2)).toEqual(["a", "b"]);
		expect(asked).toBe(3);
		expect(of(list)).toEqual(["a", "b"]);
		for (const [other, names] of [
			[
				[{}, {}],
				["a", "c"],
			],
			[
				[list[0], {}],
				["a", "c"],
			],
			[[list[0]], ["a"]],
			[
				[...list, {}],
				["a", "b", "c"],
			],
			[3, ["a", "b", "b"]],
		] as const) {
			expect(() => of(other, names)).toThrow(
				expect.objectContaining({
					...changed,
					message: expect.stringContaining("the records are not those that the run began with"),
					hint: expect.stringContaining("hand over the same records in all steps of a run, in any order"),
				}),
			);
		}
		// What was refused is not taken for what was handed over.
		expect(asked).toBe(9);
		expect(of(list)).toEqual(["a", "b"]);
		expect(asked).toBe(9);
		roster.forget();
		of(list);
		expect(asked).toBe(10);
	});

	it("of a run that goes on knows its records", () => {
		const roster = new Roster(allocation, allocation.sealOf(["a", "b"]));
		expect(() => roster.identitiesOf(1, () => ["a"])).toThrow(expect.objectContaining(changed));
		expect(roster.identitiesOf(2, () => ["b", "a"])).toEqual(["b", "a"]);
	});
});
