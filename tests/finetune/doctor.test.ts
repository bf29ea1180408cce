import { expect, it } from "vitest";
import { findingsOfCard } from "../../packages/finetune/src/doctor/examine.ts";

it("a card that no adapter shows is told with what its driver lacks", () => {
	expect(findingsOfCard(true, [])).toMatchObject([{ isFatal: false, fix: expect.stringContaining("libglx0") }]);
	expect(findingsOfCard(true, [{ isSoftware: true }])).toHaveLength(1);
	expect(findingsOfCard(true, [{ isSoftware: false }])).toEqual([]);
	expect(findingsOfCard(false, [])).toEqual([]);
});
