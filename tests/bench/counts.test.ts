import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { Counters } from "../../bench/support/counters.ts";
import { plainTraining, privateTraining } from "../../bench/support/loraSteps.ts";
import { useDevice } from "../support/device.ts";

/** What a step may ask of WebGPU at most, in the state that training stays in: what it did when this was last written, or less. */
const LIMITS = JSON.parse(readFileSync(new URL("./counts.json", import.meta.url), "utf8")) as Record<
	"plain" | "private",
	Record<string, number>
>;
const SIZES = { hidden: 32, layers: 2, length: 16, vocabulary: 64, rows: 4 };
const WARM_UP = 3;
const device = useDevice();

describe.each([
	["plain", plainTraining],
	["private", privateTraining],
] as const)("a %s step of two layers", (kind, training) => {
	it("asks no more of WebGPU than it did", async () => {
		const counters = new Counters(device());
		const { step, dispose } = training(device(), SIZES);
		try {
			for (let i = 0; i < WARM_UP; i++) await step();
			await device().flush();
			const before = counters.now();
			await step();
			await device().flush();
			const counts: Readonly<Record<string, number>> = counters.since(before);
			const over = Object.entries(counts).filter(([name, count]) => !(count <= LIMITS[kind][name]));
			expect(over, `of ${JSON.stringify(counts)}`).toEqual([]);
			expect(counts.dispatches).toBeGreaterThan(0);
		} finally {
			counters.stop();
			dispose();
		}
	});
});
