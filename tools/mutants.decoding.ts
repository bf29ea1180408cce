import type { Mutant } from "./mutants.operations.ts";

const NN = "packages/nn/src";
const MODELS = "packages/models/src";
const CACHE = `${NN}/cacheUpdate.ts`;
const ATTENTION = `${NN}/cachedAttention.ts`;
const SNAPSHOT = `${NN}/snapshot.ts`;
const STATIC = `${MODELS}/gemma/staticCache.ts`;
const DECODER = `${MODELS}/decoder.ts`;
const WARMUP = "packages/tensor/src/warmup.ts";
const PRIMITIVES = ["tests/tensor/primitives.test.ts"];
const DECODES = ["tests/models/decode.test.ts"];
const WARMS = ["tests/engine/warmup.test.ts"];

/** Faults of tokens that are written in place and replayed, and of kernels that are compiled before they run. */
export const DECODING_MUTANTS: readonly Mutant[] = [
	...(
		[
			["with negative ones the wrong way round", "own ^ ((own >> 31) | 0x80000000)", "own ^ 0x80000000"],
			["with -0 below 0", "values[i] && bits[i]", "bits[i]"],
			[
				"of another text's",
				"new Uint32Array(values.buffer, values.byteOffset, values.length)",
				"new Uint32Array(values.buffer, 0, values.length)",
			],
		] as const
	).map(
		([what, from, to]): Mutant => ({
			name: `tokens from the least likely up ${what}`,
			file: `${MODELS}/logits.ts`,
			from,
			to,
			tests: ["tests/models/logits.test.ts"],
		}),
	),
	...(
		[
			["one row behind its end", "t >= p.S", "t > p.S"],
			["at the position of another", "cos_at(row * p.J + j)", "cos_at(j)"],
			["turned the other way", "lo * c - hi * s", "lo * c + hi * s"],
			["as if positions came before heads", "(group * u32(p.S) + row) * 2u", "(row * p.G + group) * 2u"],
			["whose values are cut off where keys end", "G * Math.max(J, V)", "G * J"],
		] as const
	).map(
		([what, from, to]): Mutant => ({
			name: `a key written into a cache ${what}`,
			file: CACHE,
			from,
			to,
			tests: PRIMITIVES,
			only: "cacheUpdate",
		}),
	),
	...(
		[
			["without the token itself", "clamp(position + 1, 0, p.S)", "clamp(position, 0, p.S)"],
			["by a window of one key more", "min(p.window, end)", "min(p.window + 1u, end)"],
			["by the head of keys of another", "let group = head / p.share;", "let group = head % p.share;"],
			["of keys of another head", "(group * u32(p.S) + s) * deep", "(group * p.share + s) * deep"],
			["with queries at the first position", "let c = cos_at(turn + j);", "let c = cos_at(j);"],
			["of one invocation where several share a column", "i < strands; i++", "i < 1u; i++"],
			["whose columns behind the first of each invocation are lost", "let column = base + lane % width;", "let column = lane % width;"],
		] as const
	).map(
		([what, from, to]): Mutant => ({
			name: `attention to a cache ${what}`,
			file: ATTENTION,
			from,
			to,
			tests: PRIMITIVES,
			only: "cachedAttention",
		}),
	),
	...(
		[
			["that forgets weights behind a thousand", "sum * fade + total(lane, mine)", "total(lane, mine)"],
			["that adds a second thousand of keys as if their largest were that of the first", "y_at${four}(to) * fade", "y_at${four}(to)"],
			["that is divided before all keys are added", "select(added, added / sum, stop == end &&", "select(added, added / sum, stop > 0u &&"],
			["whose scores of the second thousand begin anew", "let high = nanMax(top, highest(lane, own));", "let high = highest(lane, own);"],
			["that leaves what was there where nothing is seen", "if (first >= end) {", "if (first > end) {"],
		] as const
	).map(
		([what, from, to]): Mutant => ({
			name: `attention to a cache ${what}`,
			file: ATTENTION,
			from,
			to,
			tests: DECODES,
			only: "cachedAttention",
		}),
	),
	...(
		[
			["whose position stays", "write(this.position, [length]);", ""],
			["that begins at its first row", "Int32Array.of(length)", "Int32Array.of(0)"],
			["that gives out rows that mean nothing", "k: slice(k, 1, 0, this.#length)", "k"],
			["that must not be full", "capacity < length", "capacity <= length"],
			["that keeps its position", "[this.position, ...this.layers", "[...this.layers"],
		] as const
	).map(
		([what, from, to]): Mutant => ({
			name: `a cache with room ${what}`,
			file: STATIC,
			from,
			to,
			tests: DECODES,
			only: "a token written into|leaves no memory",
		}),
	),
	...(
		[
			["where the last was", "room.length++;", ""],
			["into a cache that is full", "before.length < before.capacity", "before.length <= before.capacity"],
			["into room for as many as there are", "Math.log2(length + 1)", "Math.log2(length)"],
			["by a replay of the cache before", "\t\tthis.#forget();\n\t\tthis.#room = this.#device", "\t\tthis.#room = this.#device"],
			["whose outgrown caches stay in memory", "before?.dispose();", ""],
			["whose prompt stays in memory", "\t\tdisposeCache(this.#cache);\n\t\tthis.#cache = [];", "\t\tthis.#cache = [];"],
			["compared with the model each time", "captured.isChecked = true;", ""],
			[
				"by a model of another time",
				"if (captured.model.isCurrent) {",
				"if (!captured.isChecked || captured.model.isCurrent !== undefined) {",
			],
			["by a pass that changes by itself", "captured.step.difference(pass) === undefined", "captured.step.difference(pass) !== null"],
			["whose replays no profile shows", "recorder.profiler === undefined", "recorder.profiler !== null"],
			["with the id of the token before", "write(this.#id, [id]);", "if (this.#captured === undefined) write(this.#id, [id]);"],
			[
				"that is captured anew after each that was in vain",
				"\t\t\t\tthis.#isGivenUp = true;\n\t\t\t}\n\t\t\tawait",
				"\t\t\t}\n\t\t\tawait",
			],
			["whose logits stay in memory", ".finally(() => logits.dispose())", ""],
			[
				"by caches that stay in memory as they grow",
				"disposeCache(this.#cache);\n\t\tthis.#cache = step.cache;",
				"this.#cache = step.cache;",
			],
			["whose capture outlives the text", "\tdispose(): void {\n\t\tthis.#forget();", "\tdispose(): void {"],
			["that fails where a pass cannot be captured", "/^capture\\//.test(error.code)", "/^capture$/.test(error.code)"],
		] as const
	).map(
		([what, from, to]): Mutant => ({
			name: `a token decoded ${what}`,
			file: DECODER,
			from,
			to,
			tests: DECODES,
			only: "generate, replayed",
		}),
	),
	...(
		[
			["does not look at weights", "return part.tensors();", "return [];"],
			["does not look at buffers", "return part.hasValue ? [part.value] : [];", "return [];"],
			["does not look into maps", "if (part instanceof Map) return [...part.values()];", ""],
			["misses what was taken away", "now.length === values.length && now", "now"],
			["looks at the model alone", "visit(v);", "found.set(v, { of: v, values: [...valuesOf(v)] });"],
		] as const
	).map(
		([what, from, to]): Mutant => ({
			name: `a snapshot of a model that ${what}`,
			file: SNAPSHOT,
			from,
			to,
			tests: DECODES,
			only: "ModuleSnapshot",
		}),
	),
	...(
		[
			["are not waited for", "await runtime.orLost(", "void runtime.orLost("],
			[
				"are compiled once for each run",
				"return new Set(rehearsed.recorded.map(({ pipeline }) => pipeline));",
				"return new Set(rehearsed.recorded.map(({ pipeline }) => Object.create(pipeline) as typeof pipeline));",
			],
			["belong to a step inside another", 'checkOutside(runtime, "warmup");', ""],
		] as const
	).map(([what, from, to]): Mutant => ({ name: `kernels compiled before they run that ${what}`, file: WARMUP, from, to, tests: WARMS })),
	{
		name: "a kernel compiled beside others that is compiled again when it runs",
		file: "packages/tensor/src/gpu/pipelines.ts",
		from: "compiled ??= pipeline;",
		to: "",
		tests: WARMS,
	},
	{
		name: "a row times a weight in four bits by every second word",
		file: "packages/nn/src/quant/nf4.kernel.ts",
		from: "w < words; w += ${lanes}u",
		to: "w < words; w += ${2 * lanes}u",
		tests: ["tests/nn/nf4.test.ts"],
		only: "one row",
	},
	{
		name: "a row times a weight in four bits by the scale of its first block",
		file: "packages/nn/src/quant/nf4.kernel.ts",
		from: "scaleOf((first + w) / ${NF4_BLOCK / 8}u",
		to: "scaleOf(first / ${NF4_BLOCK / 8}u",
		tests: ["tests/nn/nf4.test.ts"],
		only: "one row",
	},
	{
		name: "a refused kernel that ends the compiling of all",
		file: "packages/tensor/src/gpu/pipelines.ts",
		from: ".catch(() => undefined)",
		to: "",
		tests: WARMS,
	},
	{
		name: "a step that was recorded and leaves the device recording",
		file: "packages/tensor/src/gpu/recorder.ts",
		from: "\t\t\tthis.#isRehearsing = false;\n",
		to: "",
		tests: WARMS,
	},
];
