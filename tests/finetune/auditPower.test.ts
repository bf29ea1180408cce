import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { insecureNoiseForTests, type NoiseSource, research } from "@hushgrad/dp";
import { type AuditResult, audit } from "@hushgrad/finetune";
import { expect, it } from "vitest";
import { type Prepared, prepare } from "../../packages/finetune/src/run/prepare.ts";
import { inFolder, settingsOf } from "./tinyRun.ts";

/** Canaries; 27 guesses that are all right prove ε ≥ 1.67. */
const CANARIES = 60;

/** Every record in every step, and a rate at which the model learns texts by heart in so many steps. */
const RUN = {
	...{ epsilon: "1", records: String(CANARIES), "batch-size": String(CANARIES), "physical-batch-size": "30" },
	...{ steps: "20", lr: "0.04", "max-length": "16" },
};

/** What a run that claims ε = 1 has in place of the platform's noise: so large a part of it. */
const noiseOf = (part: number, { plan }: Prepared): NoiseSource =>
	research({
		seed: 5,
		noise: (step, length) => {
			const normals = new Float64Array(length);
			insecureNoiseForTests(7, { stream: step }).fillNormals(normals);
			return normals.map((v) => v * part * (plan?.noiseMultiplier ?? 0) * (plan?.maxGradNorm ?? 0));
		},
	});

const auditWith = (part: number): Promise<AuditResult> =>
	inFolder(async (folder) => {
		const cards = Array.from({ length: CANARIES }, (_, i) => `a${i},b`);
		writeFileSync(join(folder, "cards.csv"), ["question,answer", ...cards, ""].join("\n"));
		const prepared = await prepare(await settingsOf(folder, RUN));
		return (await audit(prepared, { canaries: CANARIES, noise: noiseOf(part, prepared) })) as AuditResult;
	});

it("an audit finds out a run that claims ε = 1 and learns by heart, for want of noise", async () => {
	const { epsilon, epsilonLower, exposure } = await auditWith(0.01);
	expect(epsilon).toBeLessThanOrEqual(1);
	expect(epsilonLower).toBeGreaterThan(1.5);
	expect(exposure.mean).toBeGreaterThan(0.9 * exposure.possible);
});

it("an audit of the same run with all of its noise finds nothing against it", async () => {
	const { epsilon = 0, epsilonLower, exposure } = await auditWith(1);
	expect(epsilon).toBeGreaterThan(0.99);
	expect(epsilonLower).toBeLessThanOrEqual(epsilon);
	expect(exposure.mean).toBeLessThan(0.7 * exposure.possible);
});
