import { createHash } from "node:crypto";
import { type LedgerStore, PrivacyLedger, type PrivacyPlan, planPrivacy } from "@hushgrad/dp";
import { describe, expect, it } from "vitest";
import { memoryStore } from "./memoryStore.ts";

/* Full batches, whose ε has a closed form. */
const settings = { targetDelta: 1e-4, datasetSize: 100, expectedBatchSize: 100, steps: 5, maxGradNorm: 1 };
const plan = planPrivacy({ ...settings, noiseMultiplier: 1.5 });
const loud = planPrivacy({ ...settings, noiseMultiplier: 2 });

async function filled() {
	const { kept, store: s } = memoryStore();
	const ledger = await PrivacyLedger.open(s);
	await ledger.begin("a", "cards", plan, true);
	for (const step of [1, 2, 3]) await ledger.step("a", step);
	await ledger.begin("b", "cards", loud, true);
	await ledger.step("b", 1);
	await ledger.begin("c", "other", plan, true);
	return { kept, ledger };
}

describe("a ledger", () => {
	it("adds up what was done to a data set, by all runs", async () => {
		const { ledger } = await filled();
		const { sampleRate, noiseMultiplier } = plan;
		expect(ledger.historyOf("cards")).toEqual([
			{ sampleRate, noiseMultiplier, steps: 3 },
			{ sampleRate, noiseMultiplier: 2, steps: 1 },
		]);
		expect(ledger.historyOf("cards", "a")).toEqual([{ sampleRate, noiseMultiplier: 2, steps: 1 }]);
		expect(ledger.historyOf("nothing")).toEqual([]);
		expect(ledger.runsOn("other").map((r) => [r.run, r.taken])).toEqual([["c", 0]]);
	});

	it("adds up no runs that protect different units", async () => {
		const ledger = await PrivacyLedger.open(memoryStore().store);
		const ofPatients = planPrivacy({ ...settings, noiseMultiplier: 1.5, unit: { name: "patient", maxRecords: 4 } });
		for (const run of ["a", "b"]) {
			await ledger.begin(run, "patients", ofPatients, true);
			await ledger.step(run, 1);
		}
		expect(ledger.historyOf("patients")).toMatchObject([{ steps: 1 }, { steps: 1 }]);
		await ledger.begin("c", "patients", plan, true);
		expect(() => ledger.historyOf("patients")).toThrow(
			expect.objectContaining({
				...{ name: "PrivacyError", code: "privacy/unit", op: "PrivacyLedger.historyOf" },
				message: expect.stringContaining("runs on this data set protect different units, which do not add up"),
				hint: "take those of one unit from runsOn(), and account for each unit on its own",
			}),
		);
		expect(ledger.historyOf("patients", "c")).toMatchObject([{ steps: 1 }, { steps: 1 }]);
	});

	it("is read again as it was written", async () => {
		const { kept, ledger } = await filled();
		const again = await PrivacyLedger.open(memoryStore(kept.text).store);
		expect([again.length, again.head]).toEqual([ledger.length, ledger.head]);
		expect(again.runsOn("cards")).toEqual(ledger.runsOn("cards"));
		expect(kept.text.split("\n")[0]).toMatch(/^[0-9a-f]{64} \{"kind":"run","run":"a","dataset":"cards",/);
		expect(kept.text.split("\n")[1]).toMatch(/^[0-9a-f]{64} \{"kind":"step","run":"a","step":1\}$/);
		expect([again.continues(3, ledger.head), again.continues(7, ledger.head)]).toEqual([false, true]);
	});

	it("notices every line that is changed, taken out, exchanged or put in", async () => {
		const { kept } = await filled();
		const lines = kept.text.split("\n").slice(0, -1);
		const whole = (list: readonly string[]): string => list.map((l) => `${l}\n`).join("");
		const forged = '{"kind":"step","run":"a","step":4}';
		const hash = createHash("sha256")
			.update(`${"0".repeat(64)} ${forged}`)
			.digest("hex");
		const changed = [
			...lines.map((_, i) => whole(lines.toSpliced(i, 1))).slice(0, -1),
			...lines.map((l, i) => whole(lines.toSpliced(i, 1, l.replace(/"(steps?|noiseMultiplier)":\d/, '"$1":9')))),
			...lines.slice(1).map((l, i) => whole(lines.toSpliced(i, 2, l, lines[i]))),
			whole([...lines, `${hash} ${forged}`]),
			whole([...lines, "nonsense"]),
			whole(["", ...lines]),
		];
		for (const text of changed) {
			await expect(PrivacyLedger.open(memoryStore(text).store), text).rejects.toMatchObject({
				name: "FormatError",
				code: "privacy/ledger",
			});
		}
	});

	it("refuses a step twice, beyond the plan, of no run; and a run twice", async () => {
		const { ledger } = await filled();
		await expect(ledger.step("a", 3)).rejects.toMatchObject({ code: "privacy/ledger-step" });
		await expect(ledger.step("a", 6)).rejects.toMatchObject({ code: "privacy/plan-spent" });
		await expect(ledger.step("z", 1)).rejects.toMatchObject({ code: "privacy/ledger-run" });
		await expect(ledger.begin("a", "cards", plan, true)).rejects.toMatchObject({ code: "privacy/ledger-run" });
		await ledger.step("a", 4);
		expect(ledger.run("a")?.taken).toBe(4);
	});

	it("refuses a step whose number is none: nothing that is noted later may be lost by it", async () => {
		const { kept, ledger } = await filled();
		const before = kept.text;
		for (const none of [Number.NaN, 0, -1, 4.5, Number.POSITIVE_INFINITY, "4", null, undefined]) {
			await expect(ledger.step("a", none as number)).rejects.toMatchObject({ name: "ValueError", code: "dp/step" });
		}
		expect([kept.text, ledger.run("a")?.taken]).toEqual([before, 3]);
	});

	it("refuses a store and names that are none, and a plan that planPrivacy() has not made", async () => {
		for (const none of [undefined, null, {}, { read: async () => "" }, { append: async () => {} }]) {
			await expect(PrivacyLedger.open(none as LedgerStore)).rejects.toMatchObject({ name: "ValueError", code: "call/argument" });
		}
		const { kept, ledger } = await filled();
		const before = kept.text;
		await expect(ledger.begin(3 as unknown as string, "cards", plan, true)).rejects.toMatchObject({
			...{ name: "ValueError", code: "call/argument", message: "PrivacyLedger.begin: run is 3, expected a name" },
		});
		await expect(ledger.begin("d", undefined as unknown as string, plan, true)).rejects.toThrow("dataset is undefined, expected a name");
		await expect(ledger.step(undefined as unknown as string, 1)).rejects.toThrow("PrivacyLedger.step: run is undefined, expected a name");
		expect(() => ledger.begin("d", "cards", { ...plan } as PrivacyPlan, true)).toThrow(expect.objectContaining({ code: "privacy/plan" }));
		expect([kept.text, ledger.length]).toEqual([before, 7]);
	});

	it("tells the line that was changed, a step of a run that does not begin in it, and what the chain starts with", async () => {
		const { kept } = await filled();
		const lines = kept.text.split("\n");
		const third = [...lines.slice(0, 2), lines[2].replace('"step":2', '"step":4'), ...lines.slice(3)].join("\n");
		await expect(PrivacyLedger.open(memoryStore(third).store)).rejects.toThrow("line 3 does not follow on the one before");
		/** Lines that are chained as the format says: SHA-256 of the line before, a blank, the entry. */
		const chained = (entries: readonly object[]): string => {
			let head = "0".repeat(64);
			return entries
				.map((entry) => {
					const text = JSON.stringify(entry);
					head = createHash("sha256").update(`${head} ${text}`).digest("hex");
					return `${head} ${text}\n`;
				})
				.join("");
		};
		const entries = lines.slice(0, -1).map((l) => JSON.parse(l.slice(65)));
		expect(chained(entries)).toBe(kept.text);
		await expect(PrivacyLedger.open(memoryStore(chained(entries.slice(1))).store)).rejects.toThrow(
			"line 1 is a step of a run that does not begin",
		);
		const cut = await PrivacyLedger.open(memoryStore(kept.text.slice(0, -1)).store);
		expect([cut.length, cut.run("c")]).toEqual([6, undefined]);
	});

	it("takes no line that has more in it, or less, than what its hash is of", async () => {
		const { kept } = await filled();
		const lines = kept.text.split("\n").slice(0, -1);
		const [first, ...rest] = lines;
		for (const odd of [`x${first}`, ` ${first}`, `${first} `, `${first}x`, first.slice(1), first.replace(" ", ""), first.toUpperCase()]) {
			await expect(PrivacyLedger.open(memoryStore(`${[odd, ...rest].join("\n")}\n`).store), odd).rejects.toMatchObject({
				...{ name: "FormatError", code: "privacy/ledger", hint: expect.stringContaining("restore the file from a copy") },
				message: expect.stringContaining("the ledger was changed: line 1 does not follow on the one before"),
			});
		}
	});

	it("says what it refuses, and why", async () => {
		const { ledger } = await filled();
		const refused = (name: string, code: string, message: string, hint?: unknown) => ({
			...{ name, code: `privacy/${code}`, message: expect.stringContaining(message), hint },
		});
		await expect(ledger.step("a", 3)).rejects.toMatchObject(
			refused("PrivacyError", "ledger-step", "step 3 of run a was taken before: 3 are noted", expect.stringContaining("another process")),
		);
		await expect(ledger.step("a", 6)).rejects.toMatchObject(
			refused("PrivacyError", "plan-spent", "run a may take 5 steps, all of them are noted"),
		);
		await expect(ledger.step("z", 1)).rejects.toMatchObject(refused("ValueError", "ledger-run", "the ledger has no run z"));
		await expect(ledger.begin("a", "cards", plan, true)).rejects.toMatchObject(
			refused("ValueError", "ledger-run", "the ledger has a run a already"),
		);
		await ledger.step("a", 5);
		expect(ledger.run("a")?.taken).toBe(5);
		await expect(PrivacyLedger.open({} as LedgerStore)).rejects.toMatchObject({
			message: expect.stringContaining("PrivacyLedger.open: store has no read() and append()"),
			hint: "fileLedger() of @hushgrad/dp/files opens one",
		});
		const odd = { ...memoryStore().store, read: async () => 3 as unknown as string };
		await expect(PrivacyLedger.open(odd)).rejects.toMatchObject({
			code: "call/argument",
			message: "PrivacyLedger.open: store.read() gave 3, expected a string",
		});
	});

	it("begins with the SHA-256 of nothing, and no one can change what it does", async () => {
		const empty = await PrivacyLedger.open(memoryStore().store);
		expect([empty.length, empty.head, empty.run("a"), empty.runsOn("cards")]).toEqual([0, "0".repeat(64), undefined, []]);
		expect(Object.isFrozen(empty) && Object.isFrozen(PrivacyLedger.prototype)).toBe(true);
	});

	it("keeps the order of what is noted when one of them fails", async () => {
		const { kept, store: s } = memoryStore();
		const ledger = await PrivacyLedger.open(s);
		await ledger.begin("a", "cards", plan, true);
		kept.fail = true;
		await expect(ledger.step("a", 1)).rejects.toThrow("no space left");
		kept.fail = false;
		await ledger.step("a", 1);
		expect([ledger.length, kept.text.split("\n").length - 1]).toEqual([2, 2]);
		expect((await PrivacyLedger.open(s)).head).toBe(ledger.head);
	});

	it("a run that is not private may repeat a step, and takes back none by it", async () => {
		const { kept, store: s } = memoryStore();
		const ledger = await PrivacyLedger.open(s);
		await ledger.begin("study", "cards", plan, false);
		for (const step of [1, 2, 3, 1]) await ledger.step("study", step);
		expect([ledger.run("study")?.taken, ledger.length]).toEqual([3, 5]);
		expect((await PrivacyLedger.open(memoryStore(kept.text).store)).run("study")?.taken).toBe(3);
	});

	it("has a step once it has reached the disk, one after the other", async () => {
		const { kept, store: s } = memoryStore();
		const written: (() => void)[] = [];
		const slow: LedgerStore = {
			read: s.read,
			append: async (more) => {
				await new Promise<void>((resolve) => {
					written.push(resolve);
				});
				await s.append(more);
			},
		};
		const ledger = await PrivacyLedger.open(slow);
		const done: string[] = [];
		const all = Promise.all([
			ledger.begin("a", "cards", plan, true).then(() => done.push("begun")),
			ledger.step("a", 1).then(() => done.push("first")),
			ledger.step("a", 2).then(() => done.push("second")),
		]);
		for (const [i, sofar] of [[], ["begun"], ["begun", "first"]].entries()) {
			while (written.length <= i) await new Promise((resolve) => setTimeout(resolve, 1));
			expect([done, ledger.length, kept.text.split("\n").length - 1]).toEqual([sofar, i, i]);
			written[i]();
		}
		await all;
		expect([done.length, ledger.run("a")?.taken]).toEqual([3, 2]);
	});
});
