import { describe, expect, it } from "vitest";
import { sha256 } from "../../packages/dp/src/sha256.ts";
import { numbers } from "../support/cases.ts";

const byPlatform = async (bytes: Uint8Array<ArrayBuffer>): Promise<string> =>
	Array.from(new Uint8Array(await globalThis.crypto.subtle.digest("SHA-256", bytes)), (b) => b.toString(16).padStart(2, "0")).join("");

describe("SHA-256", () => {
	it("is that of FIPS 180-4's examples", () => {
		expect(sha256("")).toBe("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
		expect(sha256("abc")).toBe("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
		expect(sha256("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq")).toBe(
			"248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
		);
		expect(sha256("a".repeat(1e6))).toBe("cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
	});

	it("is WebCrypto's, for bytes of every length around a block, and for texts beyond ASCII", async () => {
		const next = numbers(5, 0);
		for (let length = 0; length < 200; length++) {
			const bytes = Uint8Array.from({ length }, () => Math.floor(next() * 256));
			expect(sha256(bytes)).toBe(await byPlatform(bytes));
		}
		expect(sha256("Ünïcode 🙂")).toBe(await byPlatform(new TextEncoder().encode("Ünïcode 🙂")));
	});
});
