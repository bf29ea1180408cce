/** 32 bits behind the point of the roots of the first primes. */
function roots(count: number, root: (prime: number) => number): Uint32Array {
	const primes: number[] = [];
	for (let n = 2; primes.length < count; n++) if (primes.every((p) => n % p !== 0)) primes.push(n);
	return Uint32Array.from(primes, (p) => (root(p) % 1) * 2 ** 32);
}

/* No product of these roots with 2³² is within 2⁻¹⁰ of a whole number; a cube root in float64 is off by 2⁻¹⁸. */
const START = roots(8, Math.sqrt);
const ROUNDS = roots(64, Math.cbrt);

const rotated = (x: number, by: number): number => (x >>> by) | (x << (32 - by));

/** SHA-256 (FIPS 180-4) of a text in UTF-8, or of bytes, in hex: at once, where WebCrypto's makes its caller wait. */
export function sha256(data: string | Uint8Array): string {
	const bytes = typeof data === "string" ? new TextEncoder().encode(data) : data;
	const padded = new DataView(new ArrayBuffer(64 * Math.ceil((bytes.length + 9) / 64)));
	new Uint8Array(padded.buffer).set(bytes);
	padded.setUint8(bytes.length, 0x80);
	padded.setBigUint64(padded.byteLength - 8, 8n * BigInt(bytes.length));
	const state = START.slice();
	const w = new Int32Array(64);
	for (let block = 0; block < padded.byteLength; block += 64) {
		for (let t = 0; t < 64; t++) {
			if (t < 16) {
				w[t] = padded.getInt32(block + 4 * t);
				continue;
			}
			const s0 = rotated(w[t - 15], 7) ^ rotated(w[t - 15], 18) ^ (w[t - 15] >>> 3);
			const s1 = rotated(w[t - 2], 17) ^ rotated(w[t - 2], 19) ^ (w[t - 2] >>> 10);
			w[t] = w[t - 16] + s0 + w[t - 7] + s1;
		}
		let [a, b, c, d, e, f, g, h] = state;
		for (let t = 0; t < 64; t++) {
			const s1 = rotated(e, 6) ^ rotated(e, 11) ^ rotated(e, 25);
			const t1 = (h + s1 + ((e & f) ^ (~e & g)) + ROUNDS[t] + w[t]) | 0;
			const s0 = rotated(a, 2) ^ rotated(a, 13) ^ rotated(a, 22);
			const t2 = s0 + ((a & b) ^ (a & c) ^ (b & c));
			h = g;
			g = f;
			f = e;
			e = (d + t1) | 0;
			d = c;
			c = b;
			b = a;
			a = (t1 + t2) | 0;
		}
		for (const [i, v] of [a, b, c, d, e, f, g, h].entries()) state[i] += v;
	}
	return Array.from(state, (word) => word.toString(16).padStart(8, "0")).join("");
}
