import { existsSync, readdirSync, readFileSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { insecureNoiseForTests } from "@hushgrad/dp";
import { fileLedger } from "@hushgrad/dp/files";
import { type RunEvent, resume, runFiles, train } from "@hushgrad/finetune";
import { describe, expect, it } from "vitest";
import { inFolder, STEPS, settingsOf } from "./tinyRun.ts";

const lines = (path: string): { readonly step: number; readonly epsilon: number }[] =>
	readFileSync(path, "utf8")
		.split("\n")
		.slice(0, -1)
		.map((line) => JSON.parse(line));

/** Everything that a run has come to, but for its environment. */
const outcome = (folder: string) => {
	const files = runFiles(folder);
	const last = readdirSync(files.checkpoints).sort().at(-1) as string;
	return {
		adapter: readFileSync(join(files.adapter, "adapter_model.safetensors")),
		tensors: readFileSync(join(files.checkpoints, last, "tensors.safetensors")),
		metrics: readFileSync(files.metrics, "utf8"),
		evaluation: readFileSync(files.evaluation, "utf8"),
		statement: readFileSync(files.statement, "utf8"),
	};
};

/** Aborts once a step was taken. */
function stopAfter(step: number) {
	const controller = new AbortController();
	const onEvent = (event: RunEvent): void => {
		if (event.kind === "step" && event.step === step) controller.abort();
	};
	return { signal: controller.signal, onEvent };
}

describe("a run", () => {
	it("trains from a table to an adapter, and leaves what belongs to it, all of it public but for the checkpoints", async () => {
		await inFolder(async (folder) => {
			const settings = await settingsOf(folder, { records: "54", "batch-size": "18", "target-modules": undefined, "held-out": "0.1" });
			const events: RunEvent[] = [];
			const result = await train(settings, { onEvent: (event) => events.push(event) });
			const files = runFiles(settings.output);
			expect(result).toMatchObject({ folder: settings.output, steps: STEPS, isFinished: true });
			expect(readFileSync(files.statement, "utf8")).toBe(`${result.statement}\n`);
			expect(result.statement).toMatch(/^Differential privacy: \(ε = (8|7\.\d+), δ = 1e-5\)/);
			expect(lines(files.metrics).map(({ step }) => step)).toEqual([1, 2, 3, 4, 5, 6]);
			expect(Object.keys(lines(files.metrics)[0] ?? {}).sort()).toEqual([
				"epsilon",
				"lr",
				"maxGradNorm",
				"noiseMultiplier",
				"notFinite",
				"step",
			]);
			expect(existsSync(files.privateMetrics)).toBe(false);
			expect(readdirSync(files.checkpoints).sort()).toEqual(["step-000004", "step-000006"]);
			expect(statSync(join(files.checkpoints, "step-000004", "private.json")).mode & 0o077).toBe(0);
			expect(existsSync(join(files.checkpoints, "step-000006", "private.json"))).toBe(false);
			expect(readdirSync(files.adapter).sort()).toEqual(["adapter_config.json", "adapter_model.safetensors"]);
			expect(readFileSync(files.report, "utf8")).toContain("<html");
			for (const file of [files.environment, files.plan, files.evaluation])
				expect(JSON.parse(readFileSync(file, "utf8"))).toBeTypeOf("object");
			const kinds = events.map(({ kind }) => kind).filter((kind, i, all) => kind !== all[i - 1]);
			expect(kinds.slice(0, 6)).toEqual(["preparing", "checking", "opening", "loading", "evaluating", "compiling"]);
			expect(kinds.at(-1)).toBe("evaluating");
			const { ledger, close } = await fileLedger(settings.ledger);
			const [run] = [
				...ledger.runsOn(JSON.parse(readFileSync(join(files.checkpoints, "step-000006", "state.json"), "utf8")).identity.data),
			];
			await close();
			expect(run).toMatchObject({ taken: STEPS, secure: true });
		}, 60);
	});

	it.each([1, 5])("that is interrupted after step %i goes on to the same end, bit for bit, where its noise repeats", async (step) => {
		const noise = insecureNoiseForTests(7);
		const whole = await inFolder(async (folder) => {
			await train(await settingsOf(folder), { noise });
			return outcome(join(folder, "run"));
		});
		await inFolder(async (folder) => {
			const settings = await settingsOf(folder);
			const first = await train(settings, { noise, ...stopAfter(step) });
			expect(first).toMatchObject({ steps: step, isFinished: false });
			const second = await resume(settings.output, { noise });
			expect(second).toMatchObject({ steps: STEPS, isFinished: true });
			expect(outcome(settings.output)).toEqual(whole);
		});
	});

	it("with secure noise takes every step once, and counts it once, also in the middle of an epoch", async () => {
		await inFolder(async (folder) => {
			const settings = await settingsOf(folder);
			await train(settings, stopAfter(2));
			await resume(settings.output);
			const metrics = lines(runFiles(settings.output).metrics);
			expect(metrics.map(({ step }) => step)).toEqual([1, 2, 3, 4, 5, 6]);
		});
	});

	it("without privacy goes on to the same end, and says that it is not private", async () => {
		const flags = { "no-private": "", records: undefined };
		const whole = await inFolder(async (folder) => {
			await train(await settingsOf(folder, flags));
			return outcome(join(folder, "run"));
		});
		await inFolder(async (folder) => {
			const settings = await settingsOf(folder, flags);
			await train(settings, stopAfter(3));
			const { statement } = await resume(settings.output);
			expect(statement).toMatch(/^NOT PRIVATE/);
			expect(outcome(settings.output)).toEqual(whole);
		});
	});

	it("protects all records of a unit together", async () => {
		await inFolder(async (folder) => {
			const path = join(folder, "cards.csv");
			const rows = readFileSync(path, "utf8").trim().split("\n");
			writeFileSync(path, rows.map((row, i) => (i === 0 ? `patient,${row}` : `p${i % 7},${row}`)).join("\n"));
			const settings = await settingsOf(folder, { unit: "patient", "max-unit-records": "2", records: "6", "batch-size": "3", steps: "2" });
			const { statement } = await train(settings);
			expect(statement).toContain("one patient with all of its records");
		});
	});
});

describe("a run that goes on", () => {
	it("takes the checkpoint before one that is not whole, and says so", async () => {
		await inFolder(async (folder) => {
			const noise = insecureNoiseForTests(7);
			const settings = await settingsOf(folder);
			await train(settings, { noise, ...stopAfter(4) });
			const { checkpoints } = runFiles(settings.output);
			truncateSync(join(checkpoints, "step-000004", "tensors.safetensors"), 1000);
			const warnings: string[] = [];
			const onEvent = (event: RunEvent): void => {
				if (event.kind === "warning") warnings.push(event.message);
			};
			await resume(settings.output, { noise, onEvent });
			expect(warnings).toEqual([expect.stringMatching(/step-000004 is not whole: tensors.safetensors.*the one before/)]);
			expect(lines(runFiles(settings.output).metrics).map(({ step }) => step)).toEqual([1, 2, 3, 4, 5, 6]);
			for (const name of readdirSync(checkpoints)) truncateSync(join(checkpoints, name, "state.json"), 10);
			await expect(resume(settings.output, { noise })).rejects.toMatchObject({ name: "RunError", code: "run/checkpoints" });
		});
	});

	it("refuses other data, another base and other settings, and names what changed", async () => {
		await inFolder(async (folder) => {
			const settings = await settingsOf(folder);
			await train(settings, stopAfter(1));
			const { settings: path } = runFiles(settings.output);
			const [text, cards] = [readFileSync(path, "utf8"), readFileSync(settings.data, "utf8")];
			const refused = (message: RegExp) =>
				expect(resume(settings.output)).rejects.toMatchObject({ code: "run/changed", message: expect.stringMatching(message) });
			writeFileSync(path, text.replace('"lr": 0.01', '"lr": 0.5'));
			await refused(/the setting lr \(was 0.01, now it is 0.5\)/);
			writeFileSync(path, text);
			writeFileSync(settings.data, `${cards}What is new?,A card.\n`);
			await refused(/the data .*SHA-256/);
			writeFileSync(settings.data, cards);
			await expect(resume(settings.output)).resolves.toMatchObject({ isFinished: true });
			await expect(resume(folder)).rejects.toMatchObject({ name: "FormatError" });
		});
	});
});

describe("a run that diverges", () => {
	it.each(["private", "no-private"])("stops, %s, and says what to change", async (kind) => {
		await inFolder(async (folder) => {
			const settings = await settingsOf(folder, { lr: "3e38", ...(kind === "private" ? {} : { "no-private": "", records: undefined }) });
			const error = await train(settings).catch((e) => e);
			expect(error).toMatchObject({ name: "RunError", code: "run/diverged", hint: expect.stringMatching(/--lr.*--max-grad-norm/) });
			expect(lines(runFiles(settings.output).metrics).length).toBeLessThan(STEPS);
		});
	});
});

describe("the folder of a run", () => {
	it("is refused where it holds something, is a file or cannot be made, and is left as it was where the run does not begin", async () => {
		await inFolder(async (folder) => {
			const settings = await settingsOf(folder);
			const refused = (output: string, code: string) =>
				expect(train({ ...settings, output })).rejects.toMatchObject({ name: "RunError", code });
			await refused(folder, "run/exists");
			await refused(settings.data, "run/output");
			await refused(join(settings.data, "below"), "run/output");
			const fails = train(settings, {
				openDevice: () => Promise.reject(new Error("no GPU")),
			});
			await expect(fails).rejects.toThrow("no GPU");
			expect(existsSync(settings.output)).toBe(false);
			expect(existsSync(`${settings.ledger}.lock`)).toBe(false);
		});
	});

	it("has the adapter of its last checkpoint, also where it was ended between the two", async () => {
		await inFolder(async (folder) => {
			const settings = await settingsOf(folder);
			await train(settings);
			const before = outcome(settings.output);
			const path = join(runFiles(settings.output).adapter, "adapter_model.safetensors");
			writeFileSync(
				path,
				before.adapter.map((byte, i) => (i > before.adapter.length / 2 ? 0 : byte)),
			);
			expect((await resume(settings.output)).isFinished).toBe(true);
			expect(readFileSync(path).equals(before.adapter)).toBe(true);
		});
	});
});
