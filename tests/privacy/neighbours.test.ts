import { expect, it } from "vitest";
import { useDevice } from "../support/device.ts";
import { compare, pairOf } from "./pairs.ts";

/** How many pairs of data sets: a few in every suite, `npm run neighbours -- --pairs 200` for long. */
const PAIRS = Number(process.env.HUSHGRAD_PAIRS ?? 12);
const device = useDevice();

it(`one record, or unit, moves a sum by C at most, and nothing else by a bit, whatever the split, with gradients held or streamed: ${PAIRS} pairs`, async () => {
	for (let number = 0; number < PAIRS; number++) {
		const { moved, most, othersStay, splitsAgree } = await compare(device(), pairOf(71, number), number);
		expect({ number, othersStay, splitsAgree }).toEqual({ number, othersStay: true, splitsAgree: true });
		expect(moved).toBeLessThanOrEqual(most);
		expect(moved).toBeGreaterThan(0);
	}
}, 1_200_000);
