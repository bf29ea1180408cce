import { clip } from "@hushgrad/dp";
import { describe, expect, it } from "vitest";
import { type Candidate, SelfCheck } from "../../packages/dp/src/selfCheck.ts";
import { useDevice } from "../support/device.ts";
import { leftBehind, NOTHING } from "./problem.ts";

/* When records are looked at, what is run again, and what is said; that an engine finds what carries is in selfCheck.test.ts. */

const device = useDevice();
type Gradient = readonly [number, number];
/** What a record has for its gradient beside these others. */
type Law = (record: number, all: readonly number[]) => Gradient;

const apart: Law = (record) => [record / 10, 0.5];
const clippedBy = (indices: Int32Array, law: Law) => {
	const all = [...indices].filter((i) => i >= 0);
	const rows = Array.from(indices, (i) => (i < 0 ? [0, 0] : law(i, all)));
	const weights = Float32Array.from(indices, (i) => Number(i >= 0));
	const gradients = device().fromHost(Float32Array.from(rows.flat()), [rows.length, 2]);
	return clip([gradients], device().fromHost(weights, [rows.length]), { maxGradNorm: 1, grid: 2 ** -22 });
};

/** A physical batch by a law, the numbers that are run again noted. */
function batch(indices: readonly number[], { law = apart, part = 0, isOneRecord = false } = {}) {
	const asked: number[][] = [];
	const candidate: Candidate = {
		...{ indices: Int32Array.from(indices), part, isOneRecord },
		clipped: clippedBy(Int32Array.from(indices), law),
		again: (others) => {
			asked.push([...others]);
			return clippedBy(others, law);
		},
	};
	return { candidate, asked };
}
const nameAt = (offset: number) => `p${offset}`;

describe("a check of one step", () => {
	it.each<[string, number[], number, number[][]]>([
		[
			"the first and the last record for padding",
			[3, 4, 5],
			0,
			[
				[-1, 4, 5],
				[3, 4, -1],
			],
		],
		[
			"where padding is in between as well",
			[-1, 7, -1, 8, -1],
			2,
			[
				[-1, -1, -1, 8, -1],
				[-1, 7, -1, -1, -1],
			],
		],
		[
			"with two records, the first of which is number 0",
			[0, 8],
			0,
			[
				[-1, 8],
				[0, -1],
			],
		],
		[
			"with two records, the last of which is number 0",
			[8, 0],
			0,
			[
				[-1, 0],
				[8, -1],
			],
		],
		["but not of one record", [-1, 8, -1], 3, []],
		["but not of padding", [-1, -1], 3, []],
		["as it is where it has one row, and is not the first", [9], 1, [[9]]],
		["but not of the first of one row", [9], 0, []],
	])("runs a batch again %s", async (_, indices, part, wanted) => {
		const { candidate, asked } = batch(indices, { part });
		const check = new SelfCheck(10).begin(1, "a");
		check.look(candidate);
		expect(asked).toEqual(wanted);
		await expect(check.conclude(nameAt)).resolves.toBeUndefined();
		check.dispose();
	});

	it("looks at one batch alone, and at none when it is not due", async () => {
		const own = new SelfCheck(10);
		const check = own.begin(1, "a");
		const [single, first, second] = [batch([-1, 4]), batch([1, 2]), batch([3, 4], { isOneRecord: true })];
		for (const { candidate } of [single, first, second]) check.look(candidate);
		expect([single, first, second].map(({ asked }) => asked.length)).toEqual([0, 2, 0]);
		await check.conclude(nameAt);
		check.dispose();
		const next = own.begin(2, "a");
		expect(next.isDue).toBe(false);
		next.look(second.candidate);
		expect(second.asked).toEqual([]);
	});

	it("leaves nothing behind", async () => {
		const { candidate } = batch([1, 2, 3]);
		const left = await leftBehind(device(), async () => {
			const check = new SelfCheck(10).begin(1, "a");
			device().scope<void>(() => check.look(candidate));
			await check.conclude(nameAt);
			check.dispose();
		});
		expect(left).toEqual(NOTHING);
	});

	const hint =
		"encode() or the loss carries something from record to record: a number computed from the batch, or state on the host; what it draws at random must follow from the record and the step";
	it.each<[string, Law, number, string]>([
		["the first moves the others", (i, all) => [i, all.includes(4) ? 1 : 2], 4, "p1"],
		["the last moves the others", (i, all) => [all.includes(6) ? 1 : 2, i], 6, "p0"],
		["each moves the others", (_, all) => [all.length, all.length], 4, "p0"],
		["the first moves one that is not finite", (i, all) => [i, i === 5 && all.includes(4) ? Number.NaN : 1], 4, "p0"],
	])("finds that %s, and says which record and by what", async (_, law, record, path) => {
		const check = new SelfCheck(10).begin(1, "a");
		check.look(batch([4, 5, 6], { law }).candidate);
		await expect(check.conclude(nameAt)).rejects.toMatchObject({
			...{ name: "PrivacyError", code: "privacy/records-mix", path, hint },
			message: expect.stringContaining(`without one record of the batch (number ${record}) another one's gradient by ${path} changes`),
		});
		check.dispose();
	});

	it("finds that a record alone has another gradient when it is run once more", async () => {
		let runs = 0;
		const check = new SelfCheck(10).begin(1, "a");
		check.look(batch([7], { part: 1, law: () => [1, runs++] }).candidate);
		await expect(check.conclude(nameAt)).rejects.toMatchObject({
			...{ name: "PrivacyError", code: "privacy/records-mix", path: "p1", hint },
			message: expect.stringContaining("record number 7 has another gradient by p1 when it is run once more"),
		});
		check.dispose();
	});

	it("refuses one record for several numbers", () => {
		const { candidate, asked } = batch([0, -1, 12], { isOneRecord: true });
		expect(() => new SelfCheck(10).begin(1, "a").look(candidate)).toThrow(
			expect.objectContaining({
				...{ name: "PrivacyError", code: "privacy/records-mix" },
				message: expect.stringContaining("encode() gives one and the same record for the numbers 0, 12"),
				hint: "does it keep the first one? every number stands for a record of its own",
			}),
		);
		expect(asked).toEqual([]);
	});
});

describe("checks of a run", () => {
	const pass = async (own: SelfCheck, step: number, program: string, indices: readonly number[] = [1, 2]) => {
		const check = own.begin(step, program);
		check.look(batch(indices).candidate);
		await check.conclude(nameAt);
		check.dispose();
	};

	it("are due under each program until one has passed, and then every so many steps after the last", async () => {
		const own = new SelfCheck(4);
		const isDue = (step: number, program = "a") => own.begin(step, program).isDue;
		expect(isDue(1)).toBe(true);
		await pass(own, 1, "a", [3]);
		expect(isDue(2)).toBe(true);
		await pass(own, 3, "a");
		expect([4, 5, 6, 7, 8].map((step) => isDue(step))).toEqual([false, false, false, true, true]);
		expect(isDue(4, "b")).toBe(true);
		await pass(own, 5, "b");
		expect([6, 8, 9].map((step) => isDue(step))).toEqual([false, false, true]);
		expect([6, 8, 9].map((step) => isDue(step, "b"))).toEqual([false, false, true]);
	});

	it("stay due after one that found something", async () => {
		const own = new SelfCheck(4);
		const check = own.begin(1, "a");
		check.look(batch([1, 2], { law: (_, all) => [all.length, 1] }).candidate);
		await expect(check.conclude(nameAt)).rejects.toThrow("number 1");
		check.dispose();
		expect(own.begin(2, "a").isDue).toBe(true);
	});
});
