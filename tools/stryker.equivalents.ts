import { ACCOUNTING } from "./stryker.equivalents.accounting.ts";
import { BEYOND, BLAMED, CHARACTERS, COPIED, ITERABLE, NAMED, NO_LENGTH, NO_MODULE, NO_PROCESS, ORDER } from "./stryker.reasons.ts";
import type { Equivalents } from "./stryker.ts";

/** Mutants that cannot be noticed: by file, the line that the mutant makes, and why. */
export const EQUIVALENT: Equivalents = {
	...ACCOUNTING,
	"packages/dp/src/sha256.ts": {
		"return Uint32Array.from(primes, (p) => (root(p) * 1) * 2 ** 32);":
			"a typed array of 32 bits takes what stands before the point away as well",
	},
	"packages/dp/src/engine.ts": {
		'checkOptimizer("", optimizer);': BLAMED,
		"if (true) study.transcript?.(await transcript.write(sum, mean));":
			"without a study's transcript there is none, and nothing is evaluated",
		"if (transcript !== undefined) study.transcript(await transcript.write(sum, mean));":
			"there is a transcript only where a study asks for it",
		'const textOf = (...functions: readonly object[]): string => functions.map((f) => Function.prototype.toString.call(f)).join("");':
			"two functions are told from two others by their texts without a line between as well",
	},
	"packages/dp/src/diagnostics.ts": { "toJSON(): undefined {}": "a function without a return gives undefined as well" },
	"packages/dp/src/boundedSum.ts": {
		"for (let start = 0; start <= length; start += width) add(mean, 0, start, Math.min(length, start + width), perStep);":
			"a part of no coordinates adds nothing",
		"if (true) this.#settle();": "a sum that goes on in float64 sooner is the same",
		"if (this.#rows + rows >= mostRows) this.#settle();": "a sum that goes on in float64 sooner is the same",
		"const sum = false ? this.#part : slice(this.#part, 0, start, end === length ? end + counts : end);":
			"a slice of the whole is the whole",
		"for (let i = 0; i <= noise.length; i++) noise[i] += (settled?.[i] ?? 0) + BITS_OFFSET;": BEYOND,
		"for (let i = 0; i <= all.length; i++) all[i] += values[i];": BEYOND,
	},
	"packages/dp/src/roster.ts": {
		'#identities: readonly string[] = ["Stryker was here"];': "it is replaced before it is read",
		'if (false || before === undefined || typeof before === "number") return records === before;': NO_LENGTH,
		'if (typeof records === "" || before === undefined || typeof before === "number") return records === before;': NO_LENGTH,
		'if (typeof records === "number" || before === undefined || false) return records === before;': NO_LENGTH,
		'if (typeof records === "number" || before === undefined || typeof before === "") return records === before;': NO_LENGTH,
	},
	"packages/dp/src/report.ts": {
		'expects("", { facts }, { facts: "options" });': NAMED,
		'expects("", { earlier }, { earlier: "list?" });': NAMED,
		'for (const run of earlier ?? []) expects("", { "earlier[]": run }, { "earlier[]": "options" });': NAMED,
	},
	"packages/dp/src/correlation.ts": {
		"for (let i = 0; i <= normals.length; i++) normals[i] -= c * w[i];": BEYOND,
		"for (let i = 0; i <= noise.length; i++) noise[i] = norm * normals[i];": BEYOND,
	},
	"packages/nn/src/safetensors/duplicateKey.ts": {
		'const open: Set<string>[] = ["Stryker was here"];': "the bottom of the stack is reached by no key of a valid JSON text",
	},
	"packages/nn/src/safetensors/writer.ts": {
		"const sorted = [...tensors].sort(([a, x], [b, y]) => writeRank(x.dtype) - writeRank(y.dtype) || (a <= b ? -1 : 1));":
			"no two tensors of a Map have one name",
	},
	"packages/nn/src/files.ts": {
		"for (const piece of false ? [pieces] : pieces) await file.writeFile(piece);": CHARACTERS,
		'for (const piece of typeof pieces === "" ? [pieces] : pieces) await file.writeFile(piece);': CHARACTERS,
		"for (const piece of true ? [pieces] : pieces) await file.writeFile(piece);": ITERABLE,
		'for (const piece of typeof pieces !== "string" ? [pieces] : pieces) await file.writeFile(piece);': ITERABLE,
		'expects("", { tensors, path }, { tensors: "options", path: "text" });': NAMED,
		'optionsOf("", options, { metadata: "options?" });': NAMED,
		'expects("", { [name]: t }, { [name]: "tensor" });': NAMED,
		'op: "",': NAMED,
		'expects("", { device, path }, { device: "device", path: "text" });': NAMED,
		'throw new FormatError("file/read", `loadFile: ${path} cannot be read`, { op: "", path, cause });': NAMED,
	},
	"packages/models/src/files/checkpoint.ts": {
		"() => undefined,": "undefined is as good as false",
		'const { value, path } = await readJson("", directory, INDEX);':
			"the name stands only in the error of a missing file, and the file was seen just before",
		"if (!shards.get(shard).names().includes(name)) {": "every shard that the index names is open",
	},
	"packages/models/src/text/bytesToText.ts": {
		"} catch {}": "a function without a return gives undefined as well",
		"if (lead <= 0x80) return 1;": "0x80 alone is no UTF-8, so it becomes U+FFFD either way; unfinishedBytes asks for no continuation byte",
		'const decoder = new TextDecoder("", { fatal: true, ignoreBOM: true });': NO_MODULE,
	},
	"packages/models/src/text/chat.ts": {
		"if (true) latest = { source, template: new Template(source) };": "a template that is parsed again renders the same",
		'expects("", { tokenizer, messages }, { tokenizer: TOKENIZER, messages: MESSAGES });': NAMED,
		'optionsOf("", options, OPTIONS);': NAMED,
	},
	"packages/models/src/gemma/config.ts": {
		'expects("", { directory }, { directory: "text" });': NAMED,
		'const { value, path } = await readJson("", directory, "config.json");': NAMED,
		"if (true && config.pad_token_id >= config.vocab_size) {": "null compares as 0, which is below every vocab_size",
		'expects("", { path }, { path: "text" });': NAMED,
		"return `${JSON.stringify(Object.fromEntries(Object.entries(fields).sort(([a], [b]) => (a <= b ? -1 : 1))), null, 2)}\\n`;":
			"no two fields have one name",
	},
	"packages/models/src/generationConfig.ts": {
		'const file = await readJson("", directory, "generation_config.json").catch((error) => {':
			"the name stands only in the error of a missing file, which is caught",
	},
	"packages/dp/src/plan.ts": {
		'expects("", { options }, { options: "options" });': NAMED,
		"if (true) sumMultiplier(this.noiseMultiplier * rangeOf(noiseSchedule).largest, clipping.unclippedNumStd);":
			"without a count it compares with undefined, and refuses nothing",
		"readonly #made = false;": "a plan is known by its having the field, whatever it holds",
	},
	"packages/dp/src/ledger.ts": {
		'const [, hash, text = ""] = /^([0-9a-f]{64}) (\\{.*\\})$/.exec(line) ?? ["Stryker was here"];': "it has neither hash nor text either",
		'const [, hash, text = "Stryker was here!"] = /^([0-9a-f]{64}) (\\{.*\\})$/.exec(line) ?? [];':
			"without a match there is no hash that could be equal",
		"this.#take(entry, this.length - 1);": "the line is for an error of a reading; what is appended was checked",
	},
	"packages/dp/src/files.ts": {
		'const pid = Number(await readFile(path, "").catch(() => ""));': "bytes become the same number",
		'const pid = Number(await readFile(path, "utf8").catch(() => undefined));': NO_PROCESS,
		'const pid = Number(await readFile(path, "utf8").catch(() => "Stryker was here!"));': NO_PROCESS,
		"if (true) await file.truncate(end);": "a file that is cut to its own length stays as it is",
		"if (end <= text.length) await file.truncate(end);": "a file that is cut to its own length stays as it is",
	},
	"packages/dp/src/sampler.ts": {
		"false ? own : { sampling: sampling.kind, datasetSize, maxBatchSize: sampling.maxBatchSize, ...own },": COPIED,
		'sampling.kind === "" ? own : { sampling: sampling.kind, datasetSize, maxBatchSize: sampling.maxBatchSize, ...own },': COPIED,
		"const alike = false ? epochs : 1;": "epochs that are alike are joined",
		"const stage = noiseSchedule?.every ?? Math.min(1, steps);": "steps that are alike are counted one by one",
		"if (false) return mechanism.noiseMultiplier;": "without a schedule all steps have the same",
		': typeof records === "number" && typeof before === "number"': NO_LENGTH,
		': false || typeof before === "number"': NO_LENGTH,
		': typeof records === "" || typeof before === "number"': NO_LENGTH,
		': typeof records === "number" || false': NO_LENGTH,
		': typeof records === "number" || typeof before === ""': NO_LENGTH,
		"for (let kept = 0; true && kept < most; kept++) {": "a batch that is kept whole is shuffled, and sorted again",
		"for (let kept = 0; records.length >= most && kept < most; kept++) {":
			"all records of a batch that is just full are kept, in whichever order",
		"for (let kept = 0; records.length > most && kept <= most; kept++) {": "what is exchanged behind the cap is cut off",
	},
	"packages/dp/src/sampling.ts": {
		'expects("", { options }, { options: "options" });': NAMED,
		'expects("", { sizes }, { sizes: "options" });': NAMED,
		"if (false) return new Int32Array();": "at q = 0 the first gap is infinite, or none, and the loop ends",
	},
	"packages/dp/src/normals.ts": {
		"for (let i = 0, w = 0; i <= out.length; i += 2, w += 4) {": BEYOND,
		"if (true) out[i + 1] = radius * Math.sin(angle);": BEYOND,
		"if (i - 1 < out.length) out[i + 1] = radius * Math.sin(angle);": BEYOND,
	},
	"packages/dp/src/secureRandom.ts": {
		"for (let at = 0; at <= out.length; at += CHUNK) {": "an empty part takes no words",
		'expects("", { options }, { options: "options" });': NAMED,
		"let words: Words4 = [];": "nothing of them is read",
	},
	"packages/dp/src/mechanism.ts": {
		"for (let i = 0; i <= normals.length; i++) normals[i] = Math.round(normals[i] * deviation);": BEYOND,
		"for (let i = 0; i <= length; i++) mean[i] = ((sum[i] + noise[i]) * grid) / expectedBatchSize;": BEYOND,
	},
	"packages/dp/src/schedule.ts": {
		'if (at > 0) refuse(name, "one of finite factors above 0", factors[at]);': "the first factor is 1",
	},
	"packages/dp/src/units.ts": {
		"readonly #made = false;": "units are known by their having the field, whatever it holds",
		'op: "",': NAMED,
	},
	"packages/dp/src/engineState.ts": {
		"isWord(key.k1) &&": "a key that is none has no k0 either",
		"const isWord = (v: unknown): boolean => true && v >>> 0 === v;": "only numbers are equal to a number",
		"if (true && run !== undefined) checkNoted(run, state, use.dataset);": "without a ledger there is no run of it",
	},
	"packages/dp/src/clip/clip.ts": {
		'expects("", { settings }, { settings: "options" });': NAMED,
		'checkGradients("", grads);': NAMED,
		'expects("", { weights }, { weights: "tensor" });': NAMED,
		"const { maxGradNorm, grid, clipping = {} } = settings;": "what is of none of the other kinds is clipped flat",
		'const { maxGradNorm, grid, clipping = { kind: "" } } = settings;': "what is of none of the other kinds is clipped flat",
	},
	"packages/dp/src/plainTrainer.ts": {
		'checkReplayMode("", replay);': BLAMED,
	},
	"packages/dp/src/evaluate.ts": {
		'expects("", { options, encode, loss }, { options: "options", encode: "function", loss: "function" });': BLAMED,
		'expects("", { device, count }, { device: "device", count: "count" });': BLAMED,
	},
	"packages/dp/src/clip/addClipped.ts": {
		'const each = (line: (k: number) => string): string => own.map(line).join("");': "WGSL needs no space between statements",
		"helpers: true ? STEPS : undefined,": "a function of WGSL that nobody calls does nothing",
		"const [step, apart] = false ? [4, 1] : [1, columns];": ORDER,
		"const [step, apart] = true && lanes === 16 ? [4, 1] : [1, columns];": ORDER,
		'const [step, apart] = runtime.device.plan !== "cpu" && lanes === 16 ? [4, 1] : [1, columns];': ORDER,
		'const [step, apart] = runtime.device.plan === "" && lanes === 16 ? [4, 1] : [1, columns];': ORDER,
		"const n = columns + (true ? rest : Math.ceil(rest / 4));": "invocations beyond the last write what is there",
		"const n = columns + (lanes === 1 ? rest : Math.ceil(rest * 4));": "invocations beyond the last write what is there",
		"if (p >= P) return p > P + 1 || factor <= 0 ? 0 : factor >= full ? whole : -whole;": "the case of p = P has returned before",
	},
};
