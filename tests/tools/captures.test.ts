import { describe, expect, it } from "vitest";
import { screenPage, THEMES } from "../captures/html.ts";
import { Screen } from "../captures/screen.ts";

const shown = (text: string, columns = 10): Screen => {
	const screen = new Screen(columns);
	screen.write(text);
	return screen;
};

describe("a screen", () => {
	it("shows lines, and a line that is written over", () => {
		expect(shown("one\r\ntwo\r\n").texts()).toEqual(["one", "two", ""]);
		expect(shown("12 of 20\r\x1b[2K3 of 20").texts()).toEqual(["3 of 20"]);
		expect(shown("12 of 20\r3\x1b[K").texts()).toEqual(["3"]);
	});

	it("tells of a line that it had to break, and of none that fits", () => {
		expect(shown("ten column\r\nten column").broken).toBe(0);
		const screen = shown("eleven columns");
		expect([screen.broken, ...screen.texts()]).toEqual([1, "eleven col", "umns"]);
	});

	it("takes two columns for a wide character, and none for a mark", () => {
		expect(shown("肝臓肝臓肝").broken).toBe(0);
		expect(shown("肝臓肝臓肝臓").broken).toBe(1);
		expect(shown("e\u0301".repeat(10)).broken).toBe(0);
	});

	it("keeps colours, and names a sequence that it does not know", () => {
		const { lines, unknown } = shown("\x1b[1;31mred\x1b[39m\x1b[22m \x1b[5Z\x1b[48m");
		expect(lines[0]?.map((cell) => cell.style.color)).toEqual([31, 31, 31, undefined]);
		expect(unknown).toEqual(['"\\u001b[5Z"', "SGR 48"]);
		expect(screenPage(shown("\x1b[31m<b>\x1b[39m"), "a < b", THEMES.dark)).toContain('<span style="color:#cd3131">&lt;b></span>');
	});
});
