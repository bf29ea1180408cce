import type { GradientMode } from "@hushgrad/dp";
import type { Device } from "@hushgrad/tensor";
import { expect, it } from "vitest";
import { checkGradientMode, choiceOf } from "../../packages/dp/src/streaming.ts";

const MIB = 2 ** 20;
/** A device of which one storage binding holds so many bytes. */
const deviceOf = (maxStorageBufferBindingSize: number) => ({ gpu: { limits: { maxStorageBufferBindingSize } } }) as unknown as Device;

it("everything is streamed, or nothing, where that was asked for", () => {
	for (const bytes of [1, 1e12]) {
		for (const given of [0, 1e13]) {
			expect(choiceOf("streamed", deviceOf(128 * MIB))(bytes, given)).toBe(true);
			expect(choiceOf("instantiated", deviceOf(128 * MIB))(bytes, given)).toBe(false);
		}
	}
});

it("by itself it streams what no binding holds, and from 256 MiB that are held on what takes less memory that way", () => {
	const choose = choiceOf("auto", deviceOf(128 * MIB));
	expect(choose(128 * MIB, 0)).toBe(false);
	expect(choose(128 * MIB + 1, 1e12)).toBe(true);
	expect(choose(100 * MIB, 0)).toBe(false);
	// 228 MiB are held, and what is streamed does not count.
	expect(choose(28 * MIB + 1, 0)).toBe(true);
	expect(choose(28 * MIB + 1, 28 * MIB + 1)).toBe(false);
	expect(choose(1, 0)).toBe(true);
	expect(choose(1, 1)).toBe(false);
	const exact = choiceOf("auto", deviceOf(1e12));
	expect(exact(256 * MIB, 0)).toBe(false);
	expect(exact(1, 0)).toBe(true);
	// Of each physical batch anew.
	expect(choiceOf("auto", deviceOf(1e12))(256 * MIB, 0)).toBe(false);
});

it("other modes are refused by the name of the engine", () => {
	for (const mode of ["auto", "instantiated", "streamed"] as const) expect(() => checkGradientMode(mode)).not.toThrow();
	const error = {
		code: "call/argument",
		op: "PrivacyEngine",
		message: expect.stringMatching(/^PrivacyEngine: gradients is "ghost".*auto.*instantiated.*streamed/),
	};
	expect(() => checkGradientMode("ghost" as GradientMode)).toThrow(expect.objectContaining(error));
});
