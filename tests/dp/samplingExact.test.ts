import { createHash } from "node:crypto";
import { insecureNoiseForTests, poissonBatch, type Sampling, secureNoise, splitVirtual, stepsForEpochs } from "@hushgrad/dp";
import { describe, expect, it, vi } from "vitest";
import { Allocation } from "../../packages/dp/src/allocation.ts";
import { Roster } from "../../packages/dp/src/roster.ts";
import { historyAfter, noiseMultiplierAt, Sampler, samplingOf } from "../../packages/dp/src/sampler.ts";

const N = 60;
const mechanism = (sampling: Sampling, sampleRate = 0.25) => ({ sampling, datasetSize: N, steps: 100, sampleRate, noiseMultiplier: 1 });
const wrong = (v: unknown): never => v as never;

describe("historyAfter", () => {
	const of = (sampling: Sampling, steps: number) => historyAfter(mechanism(sampling), steps);
	const rest = { sampleRate: 0.25, noiseMultiplier: 1 };

	it("is what an accountant takes", () => {
		expect(of({ kind: "poisson" }, 3)).toEqual([{ ...rest, steps: 3 }]);
		expect(of({ kind: "truncated-poisson", maxBatchSize: 7 }, 3)).toEqual([
			{ ...rest, sampling: "truncated-poisson", datasetSize: N, maxBatchSize: 7, steps: 3 },
		]);
		expect(of({ kind: "random-allocation" }, 4)).toEqual([
			{ sampling: "random-allocation", stepsPerEpoch: 4, noiseMultiplier: 1, epochs: 1 },
		]);
		for (const kind of ["poisson", "random-allocation"] as const) expect(of({ kind }, 0)).toEqual([]);
	});
});

describe("a schedule of noise", () => {
	const noiseSchedule = { kind: "listed", factors: [1, 3, 2, 2, 5], every: 2, steps: 12 } as const;
	const scheduled = (sampling: Sampling, steps: number, sampleRate = 0.25) =>
		historyAfter({ ...mechanism(sampling, sampleRate), noiseMultiplier: 0.5, noiseSchedule }, steps);

	it("multiplies σ stage by stage", () => {
		const of = (step: number) => noiseMultiplierAt({ noiseMultiplier: 0.5, noiseSchedule }, step);
		expect([1, 2, 3, 5, 8, 9, 12].map(of)).toEqual([0.5, 0.5, 1.5, 1, 1, 2.5, 2.5]);
		expect(noiseMultiplierAt({ noiseMultiplier: 0.5 }, 7)).toBe(0.5);
	});

	it("is accounted as so many steps of each σ, those of equal neighbours together", () => {
		for (const sampling of [{ kind: "poisson" }, { kind: "truncated-poisson", maxBatchSize: 7 }] as Sampling[]) {
			const stages = (steps: number) => scheduled(sampling, steps).map((e) => [e.noiseMultiplier, "steps" in e && e.steps]);
			expect(stages(0)).toEqual([]);
			expect(stages(1)).toEqual([[0.5, 1]]);
			expect(stages(2)).toEqual([[0.5, 2]]);
			expect(stages(3)).toEqual([...stages(2), [1.5, 1]]);
			expect(stages(7)).toEqual([...stages(2), [1.5, 2], [1, 3]]);
			expect(stages(12)).toEqual([...stages(2), [1.5, 2], [1, 4], [2.5, 4]]);
		}
	});

	it("counts an epoch of random allocation with its least σ, one that has begun as a whole", () => {
		const epochs = (steps: number, length: number) =>
			scheduled({ kind: "random-allocation" }, steps, 1 / length).map((e) => [e.noiseMultiplier, "epochs" in e && e.epochs]);
		expect(epochs(0, 3)).toEqual([]);
		// σ by step: .5 .5 1.5 | 1.5 1 1 | 1 1 2.5 | 2.5 2.5 2.5
		for (const steps of [1, 3]) expect(epochs(steps, 3)).toEqual([[0.5, 1]]);
		expect(epochs(4, 3)).toEqual([
			[0.5, 1],
			[1, 1],
		]);
		expect(epochs(12, 2)).toEqual([
			[0.5, 1],
			[1.5, 1],
			[1, 2],
			[2.5, 2],
		]);
		expect(epochs(12, 3)).toEqual([
			[0.5, 1],
			[1, 2],
			[2.5, 1],
		]);
	});
});

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
		expect(asked).toBe(8);
		expect(of(list)).toEqual(["a", "b"]);
		expect(asked).toBe(8);
		roster.forget();
		of(list);
		expect(asked).toBe(9);
	});

	it("of a run that goes on knows its records", () => {
		const roster = new Roster(allocation, allocation.sealOf(["a", "b"]));
		expect(() => roster.identitiesOf(1, () => ["a"])).toThrow(expect.objectContaining(changed));
		expect(roster.identitiesOf(2, () => ["b", "a"])).toEqual(["b", "a"]);
	});
});

describe("samplingOf", () => {
	it("names the ways there are", () => {
		const message = "sampling must be of a kind among poisson, truncated-poisson, random-allocation, balls-in-bins, got ";
		for (const [sampling, got] of [
			[undefined, "undefined"],
			[null, "undefined"],
			[{ kind: "shuffle" }, '"shuffle"'],
		]) {
			expect(() => samplingOf(sampling as Sampling)).toThrow(
				expect.objectContaining({ name: "ValueError", code: "dp/sampling", message: message + got }),
			);
		}
		expect(() => samplingOf({ kind: "truncated-poisson", maxBatchSize: 0.5 })).toThrow("maxBatchSize must be an integer in 1..");
		for (const good of [{ kind: "poisson" }, { kind: "random-allocation" }, { kind: "truncated-poisson", maxBatchSize: 1 }]) {
			expect(() => samplingOf(good as Sampling)).not.toThrow();
		}
	});
});

describe("a batch", () => {
	it("is a list of whole numbers, and empty of no records", () => {
		const source = insecureNoiseForTests(9);
		for (const sampling of [
			{ kind: "poisson" },
			{ kind: "truncated-poisson", maxBatchSize: 9 },
			{ kind: "random-allocation" },
		] as Sampling[]) {
			const sampler = new Sampler(mechanism(sampling), Allocation.draw(source));
			for (const step of [1, 2, 3, 5, 8]) {
				expect(sampler.batch(step, N, source.forStep(step), namesOf(N))).toBeInstanceOf(Int32Array);
				expect(sampler.batch(step, 0, source, [])).toEqual(new Int32Array());
			}
		}
	});

	it.each(["random-allocation", "balls-in-bins"] as const)("of %s is what the allocation puts there, whatever was asked before", (kind) => {
		const allocation = Allocation.draw(insecureNoiseForTests(10));
		const sampling: Sampling = kind === "random-allocation" ? { kind } : { kind, strategyCoefs: [1] };
		const sampler = new Sampler(mechanism(sampling), allocation);
		const source = secureNoise();
		for (const names of [namesOf(N), namesOf(N).toReversed(), namesOf(9)]) {
			for (const epoch of [0, 1, 5, 1]) {
				const steps = [...allocation.stepsOf(names, kind === "random-allocation" ? epoch : 0, 4)];
				for (let i = 0; i < 4; i++) {
					const expected = steps.flatMap((s, record) => (s === i ? [record] : []));
					expect([...sampler.batch(4 * epoch + i + 1, names.length, source, names)]).toEqual(expected);
				}
			}
		}
	});

	it("of random allocation is assigned once for an epoch", () => {
		const allocation = Allocation.draw(insecureNoiseForTests(10));
		const stepsOf = vi.spyOn(Allocation.prototype, "stepsOf");
		const sampler = new Sampler(mechanism({ kind: "random-allocation" }), allocation);
		const names = namesOf(N);
		for (let step = 1; step <= 8; step++) sampler.batch(step, N, secureNoise(), names);
		expect(stepsOf).toHaveBeenCalledTimes(2);
		vi.restoreAllMocks();
	});

	it("of Poisson sampling is that of poissonBatch, also with a cap that is out of reach", () => {
		for (let seed = 0; seed < 20; seed++) {
			const source = () => insecureNoiseForTests(seed);
			const expected = poissonBatch({ datasetSize: N, sampleRate: 0.25 }, source());
			const capped = { kind: "truncated-poisson", maxBatchSize: Math.max(1, expected.length + (seed % 3)) } as const;
			for (const sampling of [{ kind: "poisson" } as const, capped]) {
				expect(new Sampler(mechanism(sampling), undefined).batch(1, N, source())).toEqual(expected);
			}
		}
	});

	it("with a cap is a partial Fisher–Yates shuffle of a Poisson batch", () => {
		const cap = 5;
		const sampler = new Sampler(mechanism({ kind: "truncated-poisson", maxBatchSize: cap }, 0.4), undefined);
		for (let seed = 0; seed < 20; seed++) {
			const source = insecureNoiseForTests(seed);
			const again = insecureNoiseForTests(seed);
			const records = [...poissonBatch({ datasetSize: N, sampleRate: 0.4 }, again)];
			for (let k = 0; k < cap; k++) {
				const other = k + Math.floor(again.uniform53() * (records.length - k));
				[records[k], records[other]] = [records[other], records[k]];
			}
			expect([...sampler.batch(1, N, source)]).toEqual(records.slice(0, cap).sort((a, b) => a - b));
		}
	});
});

describe("poissonBatch", () => {
	it("skips by geometric gaps, no longer than 1/q", () => {
		// ⌊ln(1 − u)/ln(1 − q)⌋ records are passed over; a gap of 1/q = 4 or more passes over 4 and draws again.
		const words = (...uniforms: number[]) => {
			const all = uniforms.flatMap((u) => [Math.floor(u * 2 ** 27) * 32, 0]);
			vi.spyOn(globalThis.crypto, "getRandomValues").mockImplementation((array) => {
				(array as Uint32Array).set(all);
				return array;
			});
			return secureNoise();
		};
		const u = (gap: number) => 1 - 0.75 ** (gap + 0.5);
		expect([...poissonBatch({ datasetSize: 14, sampleRate: 0.25 }, words(u(0), u(3), u(4), u(1), u(9), u(2)))]).toEqual([0, 4, 10]);
		expect([...poissonBatch({ datasetSize: 6, sampleRate: 0.25 }, words(u(2), u(2), u(0)))]).toEqual([2, 5]);
		expect([...poissonBatch({ datasetSize: 5, sampleRate: 0.25 }, words(u(2), u(2), u(0)))]).toEqual([2]);
		// Nothing is drawn beyond the last record.
		const source = words(u(2), u(2), u(3));
		poissonBatch({ datasetSize: 6, sampleRate: 0.25 }, source);
		expect(source.uniform53()).toBeCloseTo(u(3), 7);
		vi.restoreAllMocks();
	});

	it("takes every record at q = 1, and none at q = 0", () => {
		expect([...poissonBatch({ datasetSize: 5, sampleRate: 1 }, secureNoise())]).toEqual([0, 1, 2, 3, 4]);
		expect(poissonBatch({ datasetSize: 2 ** 31 - 1, sampleRate: 0 }, secureNoise())).toEqual(new Int32Array());
	});

	it("refuses what is outside its domain, by name", () => {
		const source = insecureNoiseForTests(1);
		for (const datasetSize of [0, 0.5, 2 ** 31]) {
			expect(() => poissonBatch({ datasetSize, sampleRate: 0 }, source)).toThrow("datasetSize must be an integer in 1..2147483647");
		}
		for (const sampleRate of [-0.1, 1.1]) {
			expect(() => poissonBatch({ datasetSize: 9, sampleRate }, source)).toThrow("sampleRate must be a probability in [0, 1]");
		}
		expect(() => poissonBatch(wrong(3), source)).toThrow("poissonBatch: options is 3, expected options in an object");
		expect(() => poissonBatch({ datasetSize: 9, sampleRate: 0 }, wrong({}))).toThrow("expected a noise source made by this library");
	});
});

describe("physical batches", () => {
	it("are padded with rows that weigh nothing, and none of an empty batch", () => {
		expect(splitVirtual(Int32Array.of(3, 5, 8, 13, 21), 2)).toEqual([
			{ indices: Int32Array.of(3, 5), weights: Float32Array.of(1, 1) },
			{ indices: Int32Array.of(8, 13), weights: Float32Array.of(1, 1) },
			{ indices: Int32Array.of(21, -1), weights: Float32Array.of(1, 0) },
		]);
		expect(splitVirtual(new Int32Array(), 8)).toEqual([]);
		expect(() => splitVirtual(new Int32Array(3), 0)).toThrow("splitVirtual: physicalSize must be an integer in 1..");
		expect(() => splitVirtual(wrong([1]), 1)).toThrow("indices must be an Int32Array of record numbers, got [1]");
	});
});

describe("stepsForEpochs", () => {
	it("is epochs·N/L to the nearest step, one at least", () => {
		const of = (epochs: number, datasetSize: number, expectedBatchSize: number) =>
			stepsForEpochs(epochs, { datasetSize, expectedBatchSize });
		expect([of(2, 900, 64), of(10, 900, 225), of(0.001, 10, 10), of(1, 7, 1)]).toEqual([28, 40, 1, 7]);
		for (const [name, call] of [
			["epochs", () => of(0, 1, 1)],
			["datasetSize", () => of(1, 0, 1)],
			["expectedBatchSize", () => of(1, 1, 0)],
		] as const) {
			expect(call).toThrow(`${name} must be a finite number above 0, got 0`);
		}
		expect(() => stepsForEpochs(1, wrong(3))).toThrow("stepsForEpochs: sizes is 3, expected options in an object");
	});
});

describe("a sampler refuses", () => {
	const source = () => secureNoise();
	it("more records than a cap is accounted for", () => {
		const sampler = new Sampler(mechanism({ kind: "truncated-poisson", maxBatchSize: 12 }), undefined);
		expect(sampler.batch(1, N, source()).length).toBeLessThanOrEqual(12);
		expect(() => sampler.batch(2, N + 1, source())).toThrow(
			expect.objectContaining({
				...{ name: "PrivacyError", code: "privacy/too-many-records", op: "PrivacyEngine.stepOn" },
				message: expect.stringContaining("there are more records than the plan's datasetSize, for which its cap is accounted"),
				hint: "plan with a datasetSize that is no less than the number of records, or sample without a cap",
			}),
		);
	});
});
