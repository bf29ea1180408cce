import {
	epsilon,
	groupByUnit,
	insecureNoiseForTests,
	type LedgerRun,
	PrivacyEngine,
	PrivacyLedger,
	planPrivacy,
	privacyStatement,
	research,
	secureNoise,
	type Transcript,
	type Units,
} from "@hushgrad/dp";
import { Parameter, SGD } from "@hushgrad/nn";
import {
	type DropoutKey,
	data,
	dropout,
	foldIn,
	key,
	linear,
	log,
	mean,
	mul,
	normalValues,
	ones,
	square,
	sub,
	sum,
	type Tensor,
	tanh,
	uniformValues,
} from "@hushgrad/tensor";
import { describe, expect, it } from "vitest";
import { memory } from "../dp/memoryStore.ts";
import { useDevice } from "../support/device.ts";

const device = useDevice();
const C = 0.5;
const PLAN = { targetDelta: 1e-3, datasetSize: 30, expectedBatchSize: 10, noiseMultiplier: 1, steps: 5, maxGradNorm: C };

/** A record: whose it is, and its number. */
interface Note {
	readonly user: string;
	readonly id: number;
}
interface Row {
	readonly x: Tensor;
	readonly y: Tensor;
}

const IN = 4;
const OUT = 3;
const own = (id: number) => ({ x: normalValues(foldIn(key(5), id), IN), y: normalValues(foldIn(key(6), id), OUT) });
const encode = ({ id }: Note) => own(id);
const start = normalValues(key(7), IN * OUT);

/** Users with 1 to 5 records, in mixed order. */
const NOTES: readonly Note[] = Array.from({ length: 26 }, (_, id) => ({
	user: `u${[0, 1, 2, 0, 3, 4, 2, 0, 5, 2, 6, 0, 0][id % 13]}`,
	id,
}));
const unitsOf = (notes: readonly Note[], maxRecords = 3): Units<Note> => groupByUnit(notes, (n) => n.user, { maxRecords });

/** What a step without noise did on all of these units; `wrap` is around the loss. */
async function stepOn(units: Units<Note>, physicalBatchSize: number, loss?: (w: Tensor, row: Row, drop?: DropoutKey) => Tensor) {
	const w = new Parameter([OUT, IN]);
	w.assign(device().fromHost(start, w.shape));
	let told: Transcript | undefined;
	const engine = PrivacyEngine.makePrivate({
		...PLAN,
		unit: { name: "user", maxRecords: units.maxRecords },
		optimizer: new SGD([w], { lr: 0 }),
		physicalBatchSize,
		noise: research({
			batches: () => units.list.map((_, i) => i),
			noise: (_, length) => new Float64Array(length),
			transcript: (t) => {
				told = t;
			},
		}),
	});
	const error = (_: Tensor, { x, y }: Row, drop?: DropoutKey) => sum(square(sub(tanh(linear(dropout(x, 0.4, drop), w.value)), y)));
	await engine.stepOnUnits(units, encode, (row: Row, drop) => (loss ?? error)(w.value, row, drop));
	w.value.dispose();
	return told as Transcript;
}

describe("units of several records", () => {
	it("are groups in the order of the list, cut to the first of each", () => {
		const units = unitsOf(NOTES, 2);
		expect(units.list.map((u) => u.map((n) => n.id))).toEqual([
			[0, 3],
			[1, 14],
			[2, 6],
			[4, 17],
			[5, 18],
			[8, 21],
			[10, 23],
		]);
		expect(units.list.every((u) => new Set(u.map((n) => n.user)).size === 1)).toBe(true);
		expect(Object.isFrozen(units) && Object.isFrozen(units.list) && units.list.every(Object.isFrozen)).toBe(true);
		expect(groupByUnit([1, "1", "2"], (k) => k, { maxRecords: 9 }).list).toEqual([[1, "1"], ["2"]]);
		for (const bad of [undefined, null, {}, Number.NaN, Symbol.iterator]) {
			expect(() => groupByUnit(NOTES, () => bad as string, { maxRecords: 2 })).toThrow(expect.objectContaining({ code: "dp/unit-key" }));
		}
		for (const maxRecords of [0, 1.5, -1, "3"]) {
			expect(() => groupByUnit(NOTES, (n) => n.user, { maxRecords: maxRecords as number })).toThrow("maxRecords must be an integer");
		}
	});

	it("move a sum by C at most and nothing else by a bit, with all of their records, whatever the split", async () => {
		for (const [pair, user] of ["u0", "u2", "u6", "u4"].entries()) {
			const whole = await stepOn(unitsOf(NOTES), 1 + pair);
			const other = await stepOn(unitsOf(NOTES), 7 - pair);
			expect(other.sum).toEqual(whole.sum);
			const at = unitsOf(NOTES).list.findIndex(([n]) => n.user === user);
			const without = await stepOn(unitsOf(NOTES.filter((n) => n.user !== user)), 2 + pair);
			expect([...without.factors]).toEqual([...whole.factors].filter((_, i) => i !== at));
			const moved = Math.hypot(...whole.sum.map((v, i) => v - without.sum[i]));
			expect(moved / C).toBeLessThanOrEqual(1 + 2 ** -18 + (Math.sqrt(IN * OUT) * 2 ** -22) / 2);
			expect(moved).toBeGreaterThan(0);
			// What is beyond the cap has no part in anything.
			const more = [...NOTES, { user, id: 99 }, { user, id: 98 }];
			const full = unitsOf(NOTES).list[at].length === 3;
			expect((await stepOn(unitsOf(more), 3)).sum.every((v, i) => v === whole.sum[i])).toBe(full);
		}
	});

	it("have the mean of the losses of their records, clipped as one: as a float64 loop", async () => {
		const units = unitsOf(NOTES);
		const { sum: total, factors } = await stepOn(units, 3, (w, { x, y }) => sum(square(sub(linear(x, w), y))));
		const expected = new Float64Array(IN * OUT);
		for (const [u, unit] of units.list.entries()) {
			const gradient = new Float64Array(IN * OUT);
			for (const { id } of unit) {
				const { x, y } = own(id);
				for (let o = 0; o < OUT; o++) {
					const error = x.reduce((s, v, i) => s + v * start[o * IN + i], 0) - y[o];
					for (let i = 0; i < IN; i++) gradient[o * IN + i] += (2 * error * x[i]) / unit.length;
				}
			}
			const factor = Math.min(1, C / Math.hypot(...gradient));
			expect(Math.abs(factors[u] - factor)).toBeLessThan(1e-6);
			gradient.forEach((g, i) => {
				expected[i] += factor * g;
			});
		}
		total.forEach((v, i) => expect(Math.abs(v - expected[i])).toBeLessThan(1e-5));
	});

	it("fill no place with zeros: a loss that is not finite there is finite for units of every size", async () => {
		const positive = (w: Tensor, { x, y }: Row) => mul(sum(log(square(x))), sum(mul(square(y), sum(w))));
		const { factors, sum: total } = await stepOn(unitsOf(NOTES, 5), 4, positive);
		expect(factors.every((f) => f > 0)).toBe(true);
		expect(total.some((v) => v !== 0)).toBe(true);
	});

	it("drop by a key of its own for each of their records, the same whatever the split", async () => {
		// Masks of 64 places of two equal records: the gradient of the sum of the kept is the mask.
		const w = new Parameter([64]);
		w.assign(ones(device(), [64]));
		const masks: number[][] = [];
		const same = groupByUnit([0, 0, 0], () => "one", { maxRecords: 4 });
		const engine = PrivacyEngine.makePrivate({
			...{ ...PLAN, maxGradNorm: 1e4 },
			unit: { name: "user", maxRecords: 4 },
			optimizer: new SGD([w], { lr: 0 }),
			noise: research({
				batches: () => [0],
				noise: (_, length) => new Float64Array(length),
				transcript: (t) => void masks.push([...t.sum]),
			}),
		});
		for (let i = 0; i < 3; i++) {
			await engine.stepOnUnits(
				same,
				() => ({ x: new Float32Array(64).fill(1) }),
				({ x }: { readonly x: Tensor }, drop) => sum(mul(dropout(x, 0.5, drop), w.value)),
			);
		}
		for (const mask of masks) {
			// In thirds of 2: 0 to 3 of the records keep a place. One mask for all would give 0 and 2 only.
			const kept = mask.map((v) => Math.round((v * 3) / 2));
			expect(new Set(kept).size).toBe(4);
			mask.forEach((v, i) => expect(Math.abs(v - (kept[i] * 2) / 3)).toBeLessThan(1e-2));
			// 192 draws of a fair coin: within 5 deviations
			expect(Math.abs(kept.reduce((a, b) => a + b, 0) - 96)).toBeLessThan(5 * Math.sqrt(48));
		}
		expect(masks[0]).not.toEqual(masks[1]);
	});

	it("are told from single records: neither takes the other's plan, and a forged list is none", async () => {
		const w = new Parameter([OUT, IN]);
		w.assign(device().fromHost(start, w.shape));
		const optimizer = new SGD([w], { lr: 0 });
		const loss = ({ x, y }: Row) => sum(square(sub(linear(x, w.value), y)));
		const noise = insecureNoiseForTests(1);
		const byUser = PrivacyEngine.makePrivate({ ...PLAN, unit: { name: "user", maxRecords: 3 }, optimizer, noise });
		const byRecord = PrivacyEngine.makePrivate({ ...PLAN, optimizer, noise });
		const refused = expect.objectContaining({ name: "PrivacyError", code: "privacy/unit" });
		const forged = { list: [NOTES], maxRecords: 3 } as unknown as Units<Note>;
		await expect(byUser.step(own, loss)).rejects.toThrow(refused);
		await expect(byUser.stepOn(NOTES, encode, loss)).rejects.toThrow(refused);
		await expect(byUser.stepOnUnits(unitsOf(NOTES, 4), encode, loss)).rejects.toThrow("counts 3 records of a user at most, these units 4");
		await expect(byUser.stepOnUnits(forged, encode, loss)).rejects.toThrow(refused);
		for (const none of [undefined, null, 3, [NOTES]]) {
			await expect(byRecord.stepOnUnits(none as never, encode, loss)).rejects.toThrow("expected units made by groupByUnit()");
		}
		await expect(byRecord.stepOnUnits(unitsOf(NOTES), encode, loss)).rejects.toThrow("the plan protects single records");
		expect([byUser.steps, byRecord.steps]).toEqual([0, 0]);
		expect((await byUser.stepOnUnits(unitsOf(NOTES), encode, loss)).private.reveal().records).toBeLessThanOrEqual(7);
		// A plan of another unit is another plan.
		const state = JSON.parse(JSON.stringify(byUser.state()));
		expect(() => PrivacyEngine.fromState(state, byRecord.plan, { optimizer, noise })).toThrow("is of another plan: unit was");
	});

	it("keep to one form, and one encode() result for all of them is found", async () => {
		const w = new Parameter([OUT, IN]);
		w.assign(device().fromHost(start, w.shape));
		const loss = ({ x, y }: Row) => sum(square(sub(linear(x, w.value), y)));
		const optimizer = new SGD([w], { lr: 0 });
		const sums: Float64Array[] = [];
		const make = (maxRecords: number) =>
			PrivacyEngine.makePrivate({
				...PLAN,
				unit: { name: "user", maxRecords },
				optimizer,
				noise: research({
					batches: () => [0, 1, 2],
					noise: (_, length) => new Float64Array(length),
					transcript: (t) => void sums.push(t.sum),
				}),
			});
		let first: ReturnType<typeof own> | undefined;
		const keeps = (n: Note) => {
			first ??= encode(n);
			return first;
		};
		await expect(make(1).stepOnUnits(unitsOf(NOTES, 1), keeps, loss)).rejects.toThrow("one and the same record");
		// One object that is filled anew for every record is none of these.
		const scratch = own(0);
		const refills = ({ id }: Note) => Object.assign(scratch, own(id));
		await make(3).stepOnUnits(unitsOf(NOTES), refills, loss);
		await make(3).stepOnUnits(unitsOf(NOTES), encode, loss);
		expect(sums[0]).toEqual(sums[1]);
		const ragged = ({ id }: Note) => (id % 2 ? own(id) : { ...own(id), y: new Float32Array(OUT + 1) });
		await expect(make(3).stepOnUnits(unitsOf(NOTES), ragged, loss)).rejects.toMatchObject({ code: "record/form" });
	});

	it("are sampled as such: as many enter a step as q says, each of them whole", async () => {
		const w = new Parameter([1]);
		w.assign(ones(device(), [1]));
		const notes = Array.from({ length: 600 }, (_, id) => ({ user: String(id % 200), id }));
		const seen: number[] = [];
		const engine = PrivacyEngine.makePrivate({
			...{ ...PLAN, datasetSize: 200, expectedBatchSize: 50, steps: 40 },
			unit: { name: "patient", maxRecords: 3 },
			optimizer: new SGD([w], { lr: 0 }),
			physicalBatchSize: 50,
			noise: research({ seed: 4, transcript: (t) => void seen.push(t.batch.length) }),
			allowMeaninglessEpsilon: true,
		});
		const units = unitsOf(notes);
		for (let i = 0; i < 40; i++) {
			await engine.stepOnUnits(
				units,
				({ id }) => ({ x: uniformValues(key(id), 1) }),
				({ x }: { readonly x: Tensor }) => mean(mul(x, w.value)),
			);
		}
		// 40 draws of Bin(200, 1/4)
		expect(Math.abs(seen.reduce((a, b) => a + b, 0) - 2000)).toBeLessThan(5 * Math.sqrt(40 * 37.5));
		expect(engine.getEpsilon()).toBe(epsilon([{ sampleRate: 0.25, noiseMultiplier: 1, steps: 40 }], { delta: 1e-3 }));
	});
});

describe("what is said of units", () => {
	const plan = planPrivacy({ ...PLAN, unit: { name: "user", maxRecords: 3 } });

	it("is who is protected, and that N, L and q are of them", () => {
		const text = privacyStatement(plan, { stepsTaken: 5, secure: true });
		expect(text).toContain("one user with all of its records, added or removed; at most 3 of them count, as the mean of their losses");
		expect(text).toContain("each user enters a step with q = 0.333333, on its own (N = 30 of kind user declared public");
		expect(text).toContain("as if the user were in every step");
		expect(text).not.toContain("one record");
		const allocated = planPrivacy({ ...PLAN, unit: { name: "user", maxRecords: 3 }, sampling: { kind: "random-allocation" } });
		expect(privacyStatement(allocated, { stepsTaken: 5, secure: true })).toContain("each user enters one of the 3 steps");
	});

	it("holds no line of somebody's own", () => {
		for (const name of ["", " user", "user\nDifferential privacy: (ε = 0)", "a:b", "x".repeat(41), 3, null]) {
			expect(() => planPrivacy({ ...PLAN, unit: { name: name as string, maxRecords: 3 } })).toThrow(
				expect.objectContaining({ name: "ValueError" }),
			);
		}
		for (const unit of [null, 3, { name: "user" }, { name: "user", maxRecords: 0 }]) {
			expect(() => planPrivacy({ ...PLAN, unit: unit as never })).toThrow(expect.objectContaining({ name: "ValueError" }));
		}
		expect(planPrivacy({ ...PLAN, unit: { name: "Ärztin 2-b", maxRecords: 1 } }).unit?.name).toBe("Ärztin 2-b");
	});

	it("is in the ledger, where runs of different units are not added up", async () => {
		const ledger = await PrivacyLedger.open(memory());
		await ledger.begin("a", "notes", plan, true);
		await ledger.step("a", 1);
		await ledger.begin("b", "notes", planPrivacy({ ...PLAN, unit: { name: "user", maxRecords: 7 } }), true);
		await ledger.step("b", 1);
		const two = [{ sampleRate: 1 / 3, noiseMultiplier: 1, steps: 2 }];
		expect(epsilon(ledger.historyOf("notes"), { delta: 1e-3 })).toBeCloseTo(epsilon(two, { delta: 1e-3 }), 6);
		await ledger.begin("c", "notes", planPrivacy(PLAN), true);
		await ledger.step("c", 1);
		expect(() => ledger.historyOf("notes")).toThrow(expect.objectContaining({ code: "privacy/unit" }));
		const earlier: readonly LedgerRun[] = ledger.runsOn("notes");
		const text = privacyStatement(plan, { stepsTaken: 0, secure: true, earlier });
		const spent = Math.ceil(epsilon(two, { delta: 1e-3 }) * 1e4) / 1e4;
		expect(text).toContain(
			`2 on the same records, by the ledger; all together ε = ${spent}; 1 that protects another unit, which does not add up`,
		);
		const records = privacyStatement(planPrivacy(PLAN), { stepsTaken: 1, secure: true, earlier: earlier.slice(0, 2) });
		expect(records).toContain("none on the same records, by the ledger; 2 that protect another unit");
	});

	it("is secure noise as for records, in a run with a ledger", async () => {
		const w = new Parameter([OUT, IN]);
		w.assign(device().fromHost(start, w.shape));
		const ledger = await PrivacyLedger.open(memory());
		const engine = PrivacyEngine.follow(plan, {
			optimizer: new SGD([w], { lr: 0.1 }),
			noise: secureNoise(),
			ledger: { ledger, dataset: "notes" },
		});
		const before = await data(w.value);
		await engine.stepOnUnits(unitsOf(NOTES), encode, ({ x, y }: Row) => sum(square(sub(linear(x, w.value), y))));
		expect(await data(w.value)).not.toEqual(before);
		expect(ledger.runsOn("notes")).toMatchObject([{ unit: "user", taken: 1 }]);
		expect(engine.statement()).toMatch(/^Differential privacy/);
	});
});
