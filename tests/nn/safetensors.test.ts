import { type ByteSource, encodeSafetensors, fromFloat32, SafetensorsReader, type TensorData, toFloat32 } from "@hushgrad/nn";
import { FormatError } from "@hushgrad/tensor";
import fc from "fast-check";
import { describe, expect, it } from "vitest";

const text = new TextEncoder();

function source(bytes: Uint8Array): ByteSource {
	return { path: "memory", size: bytes.length, read: async (a, b) => bytes.slice(a, b), close: async () => {} };
}

function join(pieces: readonly Uint8Array[]): Uint8Array {
	return Uint8Array.from(Buffer.concat(pieces));
}

/** A file of a given header text and so many bytes of data. */
function file(header: string | Uint8Array, dataBytes = 0, length?: bigint): Uint8Array {
	const json = typeof header === "string" ? text.encode(header) : header;
	const out = new Uint8Array(8 + json.length + dataBytes);
	new DataView(out.buffer).setBigUint64(0, length ?? BigInt(json.length), true);
	out.set(json, 8);
	return out;
}

const write = (tensors: Record<string, TensorData>, metadata?: Record<string, string>) =>
	join(encodeSafetensors(new Map(Object.entries(tensors)), { metadata }));

const rejects = (bytes: Uint8Array, code: string) =>
	expect(SafetensorsReader.open(source(bytes))).rejects.toMatchObject({ name: "FormatError", code: `safetensors/${code}` });

describe("safetensors reader", () => {
	const info = (extra: object) => JSON.stringify({ t: { dtype: "F32", shape: [2], data_offsets: [0, 8], ...extra } });

	it.each<[string, string, Uint8Array]>([
		["an empty file", "short", new Uint8Array()],
		["seven bytes", "short", new Uint8Array(7)],
		["a header of 2^63 bytes", "header", file("{}", 0, 2n ** 63n)],
		["a header longer than the file", "short", file("{}", 0, 3n)],
		["bytes that are not UTF-8", "utf8", file(Uint8Array.of(0x7b, 0xff, 0x7d))],
		["broken JSON", "json", file('{"t": ')],
		["a JSON list", "json", file("[]")],
		["JSON null", "json", file("null")],
		[
			"a key twice",
			"duplicate",
			file('{"t":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"\\u0074":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}', 8),
		],
		["a field twice", "duplicate", file('{"t":{"dtype":"F32","dtype":"F32","shape":[2],"data_offsets":[0,8]}}', 8)],
		["an unknown type", "dtype", file(info({ dtype: "F31" }), 8)],
		["a type from Object's prototype", "dtype", file(info({ dtype: "toString" }), 8)],
		["a tensor that is null", "dtype", file('{"t": null}')],
		["a negative dimension", "shape", file(info({ shape: [-2] }), 8)],
		["a fractional dimension", "shape", file(info({ shape: [0.5, 4] }), 8)],
		["offsets backwards", "offsets", file(info({ data_offsets: [8, 0] }), 8)],
		["three offsets", "offsets", file(info({ data_offsets: [0, 4, 8] }), 8)],
		["fewer bytes than the shape takes", "size", file(info({ shape: [3] }), 8)],
		["a size beyond 2^64", "size", file(info({ shape: [2 ** 40, 2 ** 40] }), 8)],
		["a gap at the start", "gap", file(info({ data_offsets: [4, 12] }), 12)],
		[
			"an overlap",
			"gap",
			file('{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[4],"data_offsets":[2,6]}}', 6),
		],
		["a truncated file", "length", file(info({}), 7)],
		["trailing bytes", "length", file(info({}), 9)],
		["metadata that are numbers", "metadata", file('{"__metadata__": {"a": 1}}')],
	])("refuses %s", async (_, code, bytes) => {
		await rejects(bytes, code);
	});

	it("takes rank 0, empty dimensions, white space around the header and any order of tensors", async () => {
		const header =
			' {"b":{"dtype":"F32","shape":[],"data_offsets":[4,8]},"a":{"dtype":"F32","shape":[],"data_offsets":[0,4]},"e":{"dtype":"F16","shape":[0,3],"data_offsets":[8,8]}}  ';
		const reader = await SafetensorsReader.open(source(file(header, 8)));
		expect(reader.names().sort()).toEqual(["a", "b", "e"]);
		expect(reader.info("e").shape).toEqual([0, 3]);
		expect(() => reader.info("c")).toThrow(/no tensor c/);
	});

	it("survives any damage of one byte or any truncation with a FormatError or a valid file", async () => {
		const good = write({
			a: { dtype: "F32", shape: [3], data: Float32Array.of(1, 2, 3) },
			b: { dtype: "BF16", shape: [2, 2], data: new Float32Array(4) },
		});
		const open = async (bytes: Uint8Array) => {
			try {
				return await SafetensorsReader.open(source(bytes));
			} catch (error) {
				if (!(error instanceof FormatError)) throw error;
				return undefined;
			}
		};
		for (let n = 0; n < good.length; n++) expect(await open(good.slice(0, n))).toBeUndefined();
		await fc.assert(
			fc.asyncProperty(fc.nat(good.length - 1), fc.integer({ min: 1, max: 255 }), async (at, flip) => {
				const bad = good.slice();
				bad[at] ^= flip;
				await open(bad);
			}),
			{ numRuns: 500 },
		);
	});
});

describe("safetensors writer", () => {
	// Literal sizes from the format's own tests.
	it("writes the empty file as the original does", () => {
		expect([...write({})]).toEqual([8, 0, 0, 0, 0, 0, 0, 0, ...text.encode("{}      ")]);
	});

	it.each([
		["attn.0", [1, 2, 3], 64],
		["attn0", [1, 1, 2, 3], 72],
	] as const)("pads the header of %s as the original does", (name, shape, length) => {
		const bytes = write({ [name]: { dtype: "F32", shape, data: new Float32Array(6) } });
		expect(Number(new DataView(bytes.buffer).getBigUint64(0, true))).toBe(length);
		expect(bytes.length).toBe(8 + length + 24);
	});

	it("refuses data that do not fill the shape", () => {
		expect(() => write({ a: { dtype: "F32", shape: [3], data: new Float32Array(2) } })).toThrow(/takes 12 bytes, got 8/);
	});

	it("refuses a tensor with the name that the format keeps for itself", () => {
		expect(() => write({ __metadata__: { dtype: "F32", shape: [1], data: Float32Array.of(1) } })).toThrow(
			expect.objectContaining({ name: "ValueError", code: "safetensors/name" }),
		);
	});

	it("takes any name, in its order: __proto__, constructor, numbers", async () => {
		const names = ["10", "2", "__proto__", "a", "constructor"];
		const t: TensorData = { dtype: "U8", shape: [1], data: Uint8Array.of(7) };
		const reader = await SafetensorsReader.open(source(join(encodeSafetensors(new Map([...names].reverse().map((n) => [n, t]))))));
		expect([...names].sort((a, b) => reader.info(a).begin - reader.info(b).begin)).toEqual(names);
		for (const name of names) expect(await reader.read(name)).toEqual(Uint8Array.of(7));
	});

	it("round-trips any tensors, widest types first", async () => {
		const dtype = fc.constantFrom("F32", "F16", "BF16", "U8", "I64", "BOOL");
		const width: Record<string, number> = { F32: 4, F16: 2, BF16: 2, U8: 1, I64: 8, BOOL: 1 };
		const one = fc.tuple(dtype, fc.array(fc.nat(4), { maxLength: 3 })).chain(([d, shape]) => {
			const size = shape.reduce((n, k) => n * k, width[d]);
			return fc.uint8Array({ minLength: size, maxLength: size }).map((data) => ({ dtype: d, shape, data }) as TensorData);
		});
		const names = fc.string({ unit: "grapheme" }).filter((n) => n !== "__metadata__");
		await fc.assert(
			fc.asyncProperty(fc.uniqueArray(fc.tuple(names, one), { selector: ([n]) => n, maxLength: 6 }), async (entries) => {
				const bytes = join(encodeSafetensors(new Map(entries), { metadata: { format: "pt" } }));
				const reader = await SafetensorsReader.open(source(bytes));
				expect(reader.metadata).toEqual({ format: "pt" });
				expect(reader.names().length).toBe(entries.length);
				for (const [name, t] of entries) {
					expect(reader.info(name)).toMatchObject({ dtype: t.dtype, shape: t.shape });
					expect(await reader.read(name)).toEqual(t.data);
				}
			}),
			{ numRuns: 200 },
		);
	});
});

describe("16-bit floats", () => {
	const asNumber = (bytes: Uint8Array) => new DataView(bytes.buffer, bytes.byteOffset, 2).getUint16(0, true);

	it("every bf16 and every f16 pattern survives the way through f32", () => {
		const all = Uint16Array.from({ length: 65536 }, (_, i) => i);
		for (const dtype of ["BF16", "F16"] as const) {
			const wide = toFloat32(new Uint8Array(all.buffer), dtype);
			const back = fromFloat32(wide, dtype);
			const again = new Uint16Array(back.buffer);
			all.forEach((p, i) => {
				if (Number.isNaN(wide[i])) expect(toFloat32(back.slice(2 * i, 2 * i + 2), dtype)[0]).toBeNaN();
				else if (again[i] !== p) throw new Error(`${dtype} ${p.toString(16)} became ${again[i].toString(16)}`);
			});
		}
	});

	/** Nearest neighbour by exhaustive comparison in float64, ties to the even pattern. */
	it.each([["BF16"], ["F16"]] as const)("rounds to the nearest %s, ties to even", (dtype) => {
		const value = (p: number) => toFloat32(Uint8Array.of(p & 255, p >> 8), dtype)[0];
		const infinity = dtype === "BF16" ? 0x7f80 : 0x7c00;
		const check = (x: number) => {
			const got = asNumber(fromFloat32(Float32Array.of(x), dtype));
			const magnitude = got & 0x7fff;
			const error = Math.abs(Math.abs(x) - value(magnitude));
			if (magnitude === infinity) return;
			for (const neighbour of [magnitude - 1, magnitude + 1]) {
				if (neighbour < 0 || neighbour >= infinity) continue;
				const other = Math.abs(Math.abs(x) - value(neighbour));
				expect(other > error || (other === error && magnitude % 2 === 0)).toBe(true);
			}
		};
		for (const p of [1, 2, 3, 0x1ff, 0x200, 0x3ff, 0x400, 0x401, 0x3c00, 0x3c01, 0x7bfe]) {
			const middle = (value(p) + value(p + 1)) / 2;
			if (Number.isFinite(middle))
				for (const x of [middle, Math.fround(middle * (1 + 2 ** -22)), Math.fround(middle * (1 - 2 ** -22)), -middle]) check(x);
		}
		fc.assert(
			fc.property(
				fc.float({
					noNaN: true,
					noDefaultInfinity: true,
					min: dtype === "F16" ? -65000 : -Math.fround(3e38),
					max: dtype === "F16" ? 65000 : Math.fround(3e38),
				}),
				(x) => check(Math.fround(x)),
			),
			{ numRuns: 1000 },
		);
	});

	it("the largest values overflow to infinity, NaN stays NaN", () => {
		expect(asNumber(fromFloat32(Float32Array.of(65519.99), "F16"))).toBe(0x7bff);
		expect(asNumber(fromFloat32(Float32Array.of(65520), "F16"))).toBe(0x7c00);
		expect(asNumber(fromFloat32(Float32Array.of(-3.4e38), "BF16"))).toBe(0xff80);
		expect(toFloat32(fromFloat32(Float32Array.of(Number.NaN), "BF16"), "BF16")[0]).toBeNaN();
	});

	it("refuses integers", () => {
		expect(() => toFloat32(new Uint8Array(8), "I64")).toThrow(expect.objectContaining({ name: "DTypeError" }));
	});
});
