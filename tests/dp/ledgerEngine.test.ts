import { epsilon, insecureNoiseForTests, type LedgerUse, PrivacyLedger, type PrivacyPlan, secureNoise } from "@hushgrad/dp";
import { data } from "@hushgrad/tensor";
import { describe, expect, it } from "vitest";
import { useDevice } from "../support/device.ts";
import { memoryStore } from "./memoryStore.ts";
import { problem } from "./problem.ts";

const device = useDevice();

describe("an engine with a ledger", () => {
	it("has noted each step before it draws, and says what all runs on the records have spent", async () => {
		const { kept, store: s } = memoryStore();
		const use: LedgerUse = { ledger: await PrivacyLedger.open(s), dataset: "cards" };
		const noise = secureNoise();
		const first = problem(device(), { ledger: use, noise, steps: 3 });
		let seen = 0;
		for (let i = 1; i <= 3; i++) {
			await first.engine.step((n) => {
				seen = use.ledger.run(JSON.parse(kept.text.split("\n")[0].slice(65)).run)?.taken ?? 0;
				return first.encode(n);
			}, first.loss);
			if (seen > 0) expect(seen).toBe(i);
		}
		expect(first.engine.statement()).toContain("none on the same records, by the ledger");
		const second = problem(device(), { ledger: use, noise });
		await second.engine.step(second.encode, second.loss);
		const stepsOf = ({ sampleRate, noiseMultiplier }: PrivacyPlan, steps: number) => ({ sampleRate, noiseMultiplier, steps });
		const both = [stepsOf(first.engine.plan, 3), stepsOf(second.engine.plan, 1)];
		const together = Math.ceil(epsilon(both, { delta: 1e-4 }) * 1e4) / 1e4;
		expect(second.engine.statement()).toContain(`1 on the same records, by the ledger; all together ε = ${together}`);
		expect(together).toBeGreaterThan(8);
		expect(first.engine.statement()).toContain(`all together ε = ${together}`);
		expect(problem(device()).engine.statement()).toContain("no ledger was kept");
		const elsewhere = problem(device(), { ledger: { ...use, dataset: "letters" } });
		expect(elsewhere.engine.statement()).toContain("none on the same records");
	});

	it("takes no step that could not be noted", async () => {
		const { kept, store: s } = memoryStore();
		const { engine, encode, loss, w } = problem(device(), { ledger: { ledger: await PrivacyLedger.open(s), dataset: "cards" } });
		await engine.step(encode, loss);
		const before = await data(w.value);
		kept.fail = true;
		await expect(engine.step(() => expect.unreachable(), loss)).rejects.toThrow("no space left");
		expect(await data(w.value)).toEqual(before);
		expect(engine.steps).toBe(2);
		kept.fail = false;
		await engine.step(encode, loss);
		expect((await PrivacyLedger.open(s)).runsOn("cards")[0].taken).toBe(3);
	});

	it("runs that are not private are noted as such, and named", async () => {
		const use: LedgerUse = { ledger: await PrivacyLedger.open(memoryStore().store), dataset: "cards" };
		const study = problem(device(), { ledger: use, noise: insecureNoiseForTests(1) });
		await study.engine.step(study.encode, study.loss);
		const next = problem(device(), { ledger: use, noise: secureNoise() });
		expect(next.engine.statement()).toContain("some without secure noise");
	});
});
