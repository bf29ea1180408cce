import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fromPretrained, loadAdapter, saveAdapter } from "@hushgrad/models";
import { applyLora, type LoraConfig, loraConfig } from "@hushgrad/nn";
import { data, key, normal } from "@hushgrad/tensor";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { useDevice } from "../support/device.ts";
import { goldenPath } from "../support/goldens.ts";

/** Steps on the file system that are still allowed; the program is killed at the one after: none follows, no clean-up either. */
// The files of a run share their modules: these have their own, of which some are other ones.
vi.hoisted(() => vi.resetModules());
afterAll(() => void vi.resetModules());
const disk = vi.hoisted(() => ({ left: Number.POSITIVE_INFINITY }));

vi.mock("node:fs/promises", async (original) => {
	const real = await original<typeof import("node:fs/promises")>();
	const step = <A extends unknown[], R>(act: (...args: A) => R) =>
		((...args: A) => {
			if (disk.left-- <= 0) throw new Error("killed");
			return act(...args);
		}) as unknown as (...args: A) => R;
	return { ...real, open: step(real.open), rename: step(real.rename), rm: step(real.rm), mkdir: step(real.mkdir) };
});

describe("an adapter that is saved over another", () => {
	const device = useDevice();
	let folder: string;
	beforeAll(async () => {
		folder = await mkdtemp(join(tmpdir(), "hushgrad-"));
	});
	afterAll(async () => {
		disk.left = Number.POSITIVE_INFINITY;
		await rm(folder, { recursive: true });
	});

	const base = () => fromPretrained(goldenPath("vaultgemma/plain"), { device: device() });
	/** Alike in shape and name: files of two of them would load together. */
	async function adapted(alpha: number) {
		const model = await base();
		const config = loraConfig({ r: 2, lora_alpha: alpha, target_modules: ["q_proj"] });
		for (const [i, { lora_B }] of [...applyLora(model, config, { device: device(), key: key(alpha) }).values()].entries())
			lora_B.weight.assign(normal(device(), lora_B.weight.shape, key(100 * alpha + i)));
		return { model, config };
	}
	/** A number that tells the weights of a model with LoRA. */
	async function mark(model: Awaited<ReturnType<typeof base>>): Promise<number> {
		return (await data([...model.trainableParameters().values()][1].value))[0];
	}

	it("is the old one or the new one, wherever the program was killed, and never a part of each", async () => {
		const [old, young] = [await adapted(3), await adapted(7)];
		const marks = [await mark(old.model), await mark(young.model)];
		const seen = new Set<number>();
		for (let steps = 0; ; steps++) {
			const directory = join(folder, String(steps));
			await saveAdapter(old.model, directory, old.config);
			await writeFile(join(directory, "README.md"), "mine");
			disk.left = steps;
			const died = await saveAdapter(young.model, directory, young.config).then(
				() => false,
				() => true,
			);
			disk.left = Number.POSITIVE_INFINITY;

			const model = await base();
			const { config } = await loadAdapter(model, directory, device());
			const which = [old, young].findIndex((a) => a.config.lora_alpha === config.lora_alpha);
			expect(await mark(model), `killed after ${steps} steps`).toBe(marks[which]);
			seen.add(which);
			// What another program finds, which reads the two names and nothing else.
			const found = await readFile(join(directory, "adapter_config.json"), "utf8").catch(() => undefined);
			if (found !== undefined) {
				const bytes = await readFile(join(directory, "adapter_model.safetensors"));
				const alone = await mkdtemp(join(folder, "alone-"));
				await writeFile(join(alone, "adapter_config.json"), found);
				await writeFile(join(alone, "adapter_model.safetensors"), bytes);
				const again = await base();
				const { config: its } = await loadAdapter(again, alone, device());
				expect(await mark(again)).toBe(marks[[old, young].findIndex((a) => a.config.lora_alpha === its.lora_alpha)]);
			}
			// The next save goes through, and leaves nothing of the one before.
			await saveAdapter(old.model, directory, old.config);
			expect((await readdir(directory)).filter((f) => !/^\.adapter|^\.\.next/.test(f)).sort()).toEqual([
				"README.md",
				"adapter_config.json",
				"adapter_model.safetensors",
			]);
			const last = await base();
			expect((await loadAdapter(last, directory, device())).config.lora_alpha).toBe(3);
			expect(await mark(last)).toBe(marks[0]);
			if (!died) break;
			expect(steps).toBeLessThan(20);
		}
		expect([...seen].sort()).toEqual([0, 1]);
	});

	it("is refused with a configuration that is not its own, before anything is written", async () => {
		const { model, config } = await adapted(3);
		const directory = join(folder, "other");
		for (const bad of [{ r: 3 }, { lora_alpha: 4 }, { use_rslora: true }, { target_modules: ["k_proj"] }] satisfies Partial<LoraConfig>[]) {
			await expect(saveAdapter(model, directory, { ...config, ...bad })).rejects.toMatchObject({ code: "adapter/other-config" });
		}
		const { weight } = [...applyLoraOf(model)][0];
		weight.assign(device().fromHost(new Float32Array(weight.size).fill(Number.NaN), weight.shape));
		await expect(saveAdapter(model, directory, config)).rejects.toMatchObject({ name: "NumericError", code: "save/not-finite" });
		await expect(readdir(directory)).rejects.toMatchObject({ code: "ENOENT" });
	});

	function* applyLoraOf(model: Awaited<ReturnType<typeof base>>) {
		for (const p of model.trainableParameters().values()) yield { weight: p };
	}
});
