import { insecureNoiseForTests, PrivacyEngine } from "@hushgrad/dp";
import { fromPretrained } from "@hushgrad/models";
import { AdamW, applyLora, loraConfig } from "@hushgrad/nn";
import { DropoutKeys, foldIn, key, markSamples } from "@hushgrad/tensor";
import { expect, it } from "vitest";
import { useDevice } from "../support/device.ts";
import { goldenPath } from "../support/goldens.ts";

const LENGTH = 6;
/** One physical batch holds any Poisson sample, so that every step needs the same memory. */
const ROWS = 24;
const RECORDS = ROWS;

const device = useDevice();
const TEN_MINUTES = 600_000;

it(
	"live bytes and buffers do not grow at all over 1,000 private training steps",
	async () => {
		const model = await fromPretrained(goldenPath("vaultgemma/plain"), { device: device(), quantization: "nf4" });
		applyLora(model, loraConfig({ r: 2, lora_dropout: 0.1, target_modules: ["q_proj", "down_proj"] }), { device: device(), key: key(0) });
		const parameters = model.trainableParameters();
		const engine = PrivacyEngine.makePrivateWithEpsilon({
			parameters,
			optimizer: new AdamW(parameters.values(), { lr: 1e-3 }),
			datasetSize: RECORDS,
			expectedBatchSize: 4,
			physicalBatchSize: ROWS,
			targetEpsilon: 8,
			targetDelta: 1e-3,
			steps: 1050,
			maxGradNorm: 1,
			noise: insecureNoiseForTests(1),
		});
		const ids = (record: number): number[] => Array.from({ length: LENGTH }, (_, t) => (2 + 7 * record + 3 * t) % 96);
		const step = () =>
			engine.step(({ indices, weights }) => {
				const grid = (pick: (row: number[]) => number[]) =>
					markSamples(device().fromHost(Int32Array.from([...indices].flatMap((r) => pick(ids(Math.max(r, 0))))), [ROWS, LENGTH]));
				const targets = grid((row) => [...row.slice(1), -100]);
				const scale = markSamples(
					device().fromHost(
						weights.map((w) => w / (LENGTH - 1)),
						[ROWS],
					),
				);
				const dropout = DropoutKeys.perSample(
					device(),
					[...indices].map((r) => foldIn(foldIn(key(1), engine.steps), r + 1)),
				);
				return model.losses(
					grid((row) => row),
					{ targets, weights: scale },
					{ dropout },
				);
			});
		for (let i = 0; i < 50; i++) await step();
		const resident = process.memoryUsage.rss();
		const { bindGroupsCreated } = device().recorder;
		const { liveBytes, liveBuffers, heldBytes, heldBuffers } = device().memory();
		let records = 0;
		for (let i = 0; i < 1000; i++) {
			records += (await step()).records;
			expect(device().memory()).toMatchObject({ liveBytes, liveBuffers, heldBytes, heldBuffers });
		}
		expect(records).toBeGreaterThan(3000);
		const fresh = device().recorder.bindGroupsCreated - bindGroupsCreated;
		expect(fresh).toBe(0);
		const grown = ((process.memoryUsage.rss() - resident) / 2 ** 20).toFixed(1);
		console.log(
			`1,000 steps: live ${liveBytes} bytes in ${liveBuffers} buffers throughout, ${fresh} new bind groups, resident memory +${grown} MiB`,
		);
	},
	TEN_MINUTES,
);
