import { type ByteSource, encodeSafetensors, fromFloat32, quantizeNF4, SafetensorsReader, type TensorData, toFloat32 } from "@hushgrad/nn";
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

/** A tensor t of two f32 in 8 bytes, or what `extra` makes of it, as a header. */
const info = (extra: object) => JSON.stringify({ t: { dtype: "F32", shape: [2], data_offsets: [0, 8], ...extra } });

describe("safetensors reader", () => {
	it.each<[string, string, string, Uint8Array]>([
		["an empty file", "short", "the file has 0 bytes, a safetensors file has at least 8", new Uint8Array()],
		["seven bytes", "short", "the file has 7 bytes", new Uint8Array(7)],
		["eight bytes, a header of none", "json", "the header is not JSON", new Uint8Array(8)],
		["a header of 2^63 bytes", "header", `claims ${2n ** 63n} bytes, the limit is 100000000`, file("{}", 0, 2n ** 63n)],
		["a header of a byte more than the format takes", "header", "the limit is 100000000", file("{}", 0, 100_000_001n)],
		["a header of as many bytes as the format takes", "short", "claims 100000000 bytes, the file has 10", file("{}", 0, 100_000_000n)],
		["a header longer than the file", "short", "the header claims 3 bytes, the file has 10", file("{}", 0, 3n)],
		["bytes that are not UTF-8", "utf8", "the header is not UTF-8", file(Uint8Array.of(0x7b, 0xff, 0x7d))],
		["broken JSON", "json", "the header is not JSON", file('{"t": ')],
		["a JSON list", "json", "the header is not a JSON object", file("[]")],
		["JSON null", "json", "the header is not a JSON object", file("null")],
		["a JSON number", "json", "the header is not a JSON object", file("3")],
		[
			"a key twice",
			"duplicate",
			'the header names "t" twice',
			file('{"t":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"\\u0074":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}', 8),
		],
		["a field twice", "duplicate", '"dtype" twice', file('{"t":{"dtype":"F32","dtype":"F32","shape":[2],"data_offsets":[0,8]}}', 8)],
		["a key twice behind a text with a brace", "duplicate", '"a" twice', file('{"__metadata__":{"a":"}","a":"x"}}')],
		["a key twice behind a list", "duplicate", '"shape" twice', file('{"t":{"shape":[[2]],"shape":[2]}}')],
		["a key with a quote twice", "duplicate", '"a\\"" twice', file('{"__metadata__":{"a\\"":"x","a\\"" :"y"}}')],
		["an unknown type", "dtype", 'tensor t has the unknown type "F31"', file(info({ dtype: "F31" }), 8)],
		["a type from Object's prototype", "dtype", '"toString"', file(info({ dtype: "toString" }), 8)],
		["a type in a list", "dtype", '["F32"]', file(info({ dtype: ["F32"] }), 8)],
		["a tensor that is null", "dtype", "undefined", file('{"t": null}')],
		["a shape that is a number", "shape", "tensor t has the shape 2, expected whole numbers", file(info({ shape: 2 }), 8)],
		["a negative dimension", "shape", "[-2]", file(info({ shape: [-2] }), 8)],
		["a fractional dimension", "shape", "[0.5,4]", file(info({ shape: [0.5, 4] }), 8)],
		["offsets that are a number", "offsets", "tensor t has the data_offsets 8", file(info({ data_offsets: 8 }), 8)],
		["offsets backwards", "offsets", "tensor t has the data_offsets [8,0]", file(info({ data_offsets: [8, 0] }), 8)],
		["three offsets", "offsets", "[0,4,8]", file(info({ data_offsets: [0, 4, 8] }), 8)],
		["half a byte", "offsets", "[0,8.5]", file(info({ data_offsets: [0, 8.5] }), 8)],
		[
			"fewer bytes than the shape takes",
			"size",
			"tensor t, F32 [3, 1], takes 12 bytes, its data_offsets hold 8",
			file(info({ shape: [3, 1], data_offsets: [4, 12] }), 12),
		],
		["a size beyond 2^64", "size", `takes ${2n ** 82n} bytes`, file(info({ shape: [2 ** 40, 2 ** 40] }), 8)],
		["a gap at the start", "gap", "tensor t begins at byte 4, expected 0", file(info({ data_offsets: [4, 12] }), 12)],
		[
			"an overlap",
			"gap",
			"tensor b begins at byte 2, expected 4",
			file('{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[4],"data_offsets":[2,6]}}', 6),
		],
		["a truncated file", "length", "the file is cut short: 7 bytes of data, expected 8", file(info({}), 7)],
		["trailing bytes", "length", "longer than its header says: 9 bytes of data, expected 8", file(info({}), 9)],
		["metadata that are numbers", "metadata", "__metadata__ must map strings to strings", file('{"__metadata__": {"a": 1, "b": "x"}}')],
		["metadata that are a list", "metadata", "__metadata__ must map strings to strings", file('{"__metadata__": ["a"]}')],
	])("refuses %s", async (_, code, message, bytes) => {
		await expect(SafetensorsReader.open(source(bytes))).rejects.toMatchObject({
			...{ name: "FormatError", code: `safetensors/${code}`, path: "memory" },
			...{ message: expect.stringContaining(message), hint: expect.stringContaining("no safetensors file") },
		});
	});

	it("keeps what the text decoder and the JSON parser said", async () => {
		await expect(SafetensorsReader.open(source(file(Uint8Array.of(0xff))))).rejects.toMatchObject({ cause: expect.any(TypeError) });
		await expect(SafetensorsReader.open(source(file("{")))).rejects.toMatchObject({ cause: expect.any(SyntaxError) });
	});

	it("takes rank 0, empty dimensions, white space around the header and any order of tensors", async () => {
		const header =
			' {"b":{"dtype":"F32","shape":[],"data_offsets":[4,8]},"a":{"dtype":"F32","shape":[],"data_offsets":[0,4]},"e":{"dtype":"F16","shape":[0,3],"data_offsets":[8,8]}}  ';
		const reader = await SafetensorsReader.open(source(file(header, 8)));
		expect(reader.names().sort()).toEqual(["a", "b", "e"]);
		expect(reader.info("e").shape).toEqual([0, 3]);
		expect(() => reader.info("c")).toThrow(
			expect.objectContaining({
				...{ name: "ValueError", code: "safetensors/name", path: "memory", hint: "names() lists them" },
				message: expect.stringContaining("SafetensorsReader.info: there is no tensor c in the file"),
			}),
		);
	});

	it("takes an empty tensor where another begins, whichever the header names first", async () => {
		const [full, empty] = ['"f":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}', '"e":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}'];
		for (const entries of [`${full},${empty}`, `${empty},${full}`]) {
			expect((await SafetensorsReader.open(source(file(`{${entries}}`, 4)))).info("f").end).toBe(4);
		}
	});

	it("takes a text of the metadata that repeats a key, or looks like JSON", async () => {
		const metadata = { a: "a", b: '{"a":1,"a":2}' };
		const reader = await SafetensorsReader.open(source(file(JSON.stringify({ __metadata__: metadata }))));
		expect(reader.metadata).toEqual(metadata);
		expect((await SafetensorsReader.open(source(file("{}")))).metadata).toEqual({});
	});

	it.each<[string, Partial<Record<keyof ByteSource, unknown>>]>([
		["SafetensorsReader.open: path is 3, expected a string", { path: 3 }],
		["SafetensorsReader.open: size is -1, expected a whole number, zero or more", { size: -1 }],
		["SafetensorsReader.open: read is undefined, expected a function", { read: undefined }],
		["SafetensorsReader.open: close is undefined, expected a function", { close: undefined }],
		["SafetensorsReader.open: source.read() is a Uint8Array, expected 8 bytes in a Uint8Array", { read: async () => new Uint8Array(7) }],
		["SafetensorsReader.open: source.read() is [0, 0, 0, 0, …], expected 8 bytes", { read: async () => new Array(8).fill(0) }],
		[
			"SafetensorsReader.open: source.read() is a Uint8Array, expected 2 bytes",
			{ read: async (a: number, b: number) => file("{}").slice(a, b === 8 ? b : b - 1) },
		],
	])("refuses a source of the wrong kind: %s", async (message, part) => {
		const broken = { ...source(file("{}")), ...part } as ByteSource;
		await expect(SafetensorsReader.open(broken)).rejects.toMatchObject({
			...{ name: "ValueError", code: "call/argument", message: expect.stringContaining(message) },
		});
		await expect(SafetensorsReader.open(undefined as unknown as ByteSource)).rejects.toThrow("SafetensorsReader.open: source is undefined");
	});

	it("asks for a name that is text, and closes its source", async () => {
		let closed = 0;
		const close = async () => {
			closed++;
		};
		const reader = await SafetensorsReader.open({ ...source(file("{}")), close });
		expect(() => reader.info(3 as unknown as string)).toThrow("SafetensorsReader.info: name is 3, expected a string");
		await reader.close();
		expect(closed).toBe(1);
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
		expect(() => write({ a: { dtype: "F32", shape: [3, 1], data: new Float32Array(2) } })).toThrow(
			expect.objectContaining({
				...{ name: "ShapeError", code: "safetensors/values" },
				message: expect.stringContaining("encodeSafetensors: a, F32 [3, 1] takes 12 bytes, got 8"),
			}),
		);
	});

	it("refuses a tensor with the name that the format keeps for itself", () => {
		expect(() => write({ __metadata__: { dtype: "F32", shape: [1], data: Float32Array.of(1) } })).toThrow(
			expect.objectContaining({
				...{ name: "ValueError", code: "safetensors/name", op: "encodeSafetensors", hint: "strings go into the option metadata" },
				message: expect.stringContaining("a tensor cannot be named __metadata__"),
			}),
		);
	});

	it("puts the widest types first, then those that the format lists later, then names in order", async () => {
		const types = [
			"U64",
			"I64",
			"F64",
			"F32",
			"U32",
			"I32",
			"BF16",
			"F16",
			"U16",
			"I16",
			"F8_E4M3",
			"F8_E5M2",
			"I8",
			"U8",
			"BOOL",
		] as const;
		const bits = { U64: 8, I64: 8, F64: 8, F32: 4, U32: 4, I32: 4, BF16: 2, F16: 2, U16: 2, I16: 2 } as Record<string, number>;
		const entries = types.flatMap((dtype): [string, TensorData][] => {
			const tensor: TensorData = { dtype, shape: [1], data: new Uint8Array(bits[dtype] ?? 1) };
			return [`${dtype} b`, `${dtype} c`, `${dtype} a`].map((name) => [name, tensor]);
		});
		const reader = await SafetensorsReader.open(source(write(Object.fromEntries(entries.reverse()))));
		const begin = (name: string) => reader.info(name).begin;
		expect(reader.names().sort((a, b) => begin(a) - begin(b))).toEqual(types.flatMap((t) => [`${t} a`, `${t} b`, `${t} c`]));
	});

	it.each<[string, unknown, unknown]>([
		["encodeSafetensors: tensors is an object, expected a Map of tensors by name", {}, {}],
		["encodeSafetensors: name is 3, expected a string", new Map([[3, {}]]), {}],
		["encodeSafetensors: a: tensor is 3, expected options in an object", new Map([["a", 3]]), {}],
		["encodeSafetensors: metadata is null, expected an object of strings", new Map(), { metadata: null }],
		['encodeSafetensors: metadata is "ab", expected an object of strings', new Map(), { metadata: "ab" }],
		['encodeSafetensors: metadata is ["a"], expected an object of strings', new Map(), { metadata: ["a"] }],
		["encodeSafetensors: metadata is an object, expected an object of strings", new Map(), { metadata: { a: "x", b: 1 } }],
	])("refuses what is of the wrong kind: %s", (message, tensors, options) => {
		expect(() => encodeSafetensors(tensors as Map<string, TensorData>, options as object)).toThrow(
			expect.objectContaining({ code: "call/argument", message: expect.stringContaining(message) }),
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

	it("refuses integers, and what is no float", () => {
		const refusal = (op: string, dtype: string) =>
			expect.objectContaining({
				...{ name: "DTypeError", code: "safetensors/not-float", hint: "convert the checkpoint to float32, float16 or bfloat16" },
				message: expect.stringContaining(`${op}: ${dtype} is no floating-point type of 16 or 32 bits`),
			});
		expect(() => toFloat32(new Uint8Array(8), "I64")).toThrow(refusal("toFloat32", "I64"));
		expect(() => fromFloat32(new Float32Array(1), "I32")).toThrow(refusal("fromFloat32", "I32"));
		expect(() => toFloat32([1] as unknown as Uint8Array, "F32")).toThrow("toFloat32: bytes is [1], expected a Uint8Array");
		expect(() => toFloat32(new Uint8Array(4), 3 as unknown as "F32")).toThrow("toFloat32: dtype is 3, expected a string");
		expect(() => fromFloat32([1] as unknown as Float32Array, "F32")).toThrow("fromFloat32: values is [1], expected a Float32Array");
		expect(() => quantizeNF4(new Float32Array(64), [1, 64], "F64" as "F32")).toThrow('dtype is "F64", expected "F32" or "F16" or "BF16"');
		for (const dtype of ["F32", "F16", "BF16"] as const) expect(quantizeNF4(new Float32Array(64), [1, 64], dtype).dtype).toBe(dtype);
	});

	it("refuses bytes that are no whole number of elements", () => {
		for (const dtype of ["F32", "F16", "BF16"] as const) {
			expect(() => toFloat32(new Uint8Array(7), dtype)).toThrow(
				expect.objectContaining({
					...{ name: "ValueError", code: "safetensors/bytes", op: "toFloat32" },
					message: `toFloat32: 7 bytes are no whole number of ${dtype}`,
				}),
			);
		}
	});

	it("reads F32 in place where it is aligned, and any type where it is not", () => {
		const values = Float32Array.of(1.5, -2, 0.25);
		const aligned = fromFloat32(values, "F32");
		expect(aligned.buffer).toBe(values.buffer);
		expect(toFloat32(aligned, "F32")).toEqual(values);
		expect(toFloat32(aligned, "F32").buffer).toBe(values.buffer);
		expect(toFloat32(aligned.subarray(4), "F32").buffer).toBe(values.buffer);
		expect(toFloat32(aligned.subarray(4), "F32")).toEqual(values.subarray(1));
		for (const dtype of ["F32", "F16", "BF16"] as const) {
			const bytes = fromFloat32(values, dtype);
			const shifted = new Uint8Array(bytes.length + 1).subarray(1);
			shifted.set(bytes);
			expect(toFloat32(shifted, dtype)).toEqual(values);
			expect(toFloat32(bytes, dtype)).toEqual(values);
		}
	});
});
