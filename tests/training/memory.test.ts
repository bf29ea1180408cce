import { insecureNoiseForTests, PrivacyEngine } from "@hushgrad/dp";
import { fromPretrained } from "@hushgrad/models";
import { AdamW, applyLora, loraConfig } from "@hushgrad/nn";
import { key } from "@hushgrad/tensor";
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
		const engine = PrivacyEngine.makePrivateWithEpsilon({
			optimizer: new AdamW(model.trainableParameters(), { lr: 1e-3 }),
			model,
			datasetSize: RECORDS,
			expectedBatchSize: 4,
			physicalBatchSize: ROWS,
			targetEpsilon: 8,
			targetDelta: 1e-3,
			steps: 1051,
			maxGradNorm: 1,
			noise: insecureNoiseForTests(1),
			key: key(1),
		});
		const encode = (record: number) => {
			const ids = Int32Array.from({ length: LENGTH }, (_, t) => (2 + 7 * record + 3 * t) % 96);
			return { ids, targets: Int32Array.of(...ids.subarray(1), -100), weight: 1 / (LENGTH - 1) };
		};
		const step = () => engine.step(encode, (record, dropout) => model.loss(record, { dropout }));
		for (let i = 0; i < 50; i++) await step();
		const resident = process.memoryUsage.rss();
		const { bindGroups } = device().counters();
		const { liveBytes, liveBuffers, heldBytes, heldBuffers } = device().memory();
		let records = 0;
		for (let i = 0; i < 1000; i++) {
			records += (await step()).private.reveal().records;
			expect(device().memory()).toMatchObject({ liveBytes, liveBuffers, heldBytes, heldBuffers });
		}
		expect(records).toBeGreaterThan(3000);
		const fresh = device().counters().bindGroups - bindGroups;
		expect(fresh).toBe(0);
		const grown = ((process.memoryUsage.rss() - resident) / 2 ** 20).toFixed(1);
		console.log(
			`1,000 steps: live ${liveBytes} bytes in ${liveBuffers} buffers throughout, ${fresh} new bind groups, resident memory +${grown} MiB`,
		);
	},
	TEN_MINUTES,
);
