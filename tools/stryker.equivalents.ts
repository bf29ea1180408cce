import type { Equivalents } from "./stryker.ts";

/** Why a module that does not load counts here: StrykerJS takes a test file without tests for one that passed. */
const NO_MODULE = "the module does not load, and StrykerJS takes a test file without tests for one that passed";

const NAMED = "named() puts the name of the function that was called in its place";
const ITERABLE = "writeFile writes an iterable piece by piece";
const COPIED = "an event of Poisson sampling is copied without what else stands in it";
const NO_PROCESS = "0 and NaN name no process alike";
const NO_LENGTH = "a number has no length, so it is as long as no list";
const LONGER = "a longer table begins alike";
const BEYOND = "what is written beyond the end of a typed array is nowhere";
const CHARACTERS = "a text is written character by character, with the same bytes";
const EDGE = "the two differ in the last bit, or where two numbers are equal to the last bit, which no result hangs on";
const STARTED = "a sum that begins elsewhere has the same terms";
const NOTHING_MORE = "what is left out or added is below 2⁻⁶⁰ of the sum";
const SEARCHED = "another way of the search to the same tilt; whatever tilt there is, the bound holds";
const ONCE = "a number of 53 bits is hit once in 2⁵³";

const ZEROS = "more cells than are used, which stay 0";
const KNOWN = "more points are tried, whose ε is known";

/** Mutants that cannot be noticed: by file, the line that the mutant makes, and why. */
export const EQUIVALENT: Equivalents = {
	"packages/dp/src/sha256.ts": {
		"return Uint32Array.from(primes, (p) => (root(p) * 1) * 2 ** 32);":
			"a typed array of 32 bits takes what stands before the point away as well",
	},
	"packages/dp/src/engine.ts": {
		'checkOptimizer("", optimizer);': "blaming() puts the name of the function that was called in its place",
		"if (true) study.transcript?.(await transcript.write(sum, mean));":
			"without a study's transcript there is none, and nothing is evaluated",
		"if (transcript !== undefined) study.transcript(await transcript.write(sum, mean));":
			"there is a transcript only where a study asks for it",
		'const textOf = (...functions: readonly object[]): string => functions.map((f) => Function.prototype.toString.call(f)).join("");':
			"two functions are told from two others by their texts without a line between as well",
	},
	"packages/dp/src/boundedSum.ts": {
		"#isRead = true;": "zeros are cleared",
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
	"packages/dp/src/accountant/calibration.ts": {
		'expects("", { options }, { options: "options" });': NAMED,
		'expects("", { target, history }, { target: "options", history: "function" });': NAMED,
		"const adjacent = () => undefined;": KNOWN,
		"const adjacent = (a: number, b: number) => false;": KNOWN,
		"const adjacent = (a: number, b: number) => unitsOf(a) - unitsOf(b) < 1;": KNOWN,
		"const adjacent = (a: number, b: number) => unitsOf(a) + unitsOf(b) <= 1;": KNOWN,
		"near: (a, b) => b <= a * (1 + SKETCH_WIDTH),": EDGE,
		"near: (a, b) => b - a <= 0.5,": EDGE,
		"return crossingOf(at, { ...search, near: (a, b) => b <= a * (1 + RATE_WIDTH) }) ?? 0;": EDGE,
	},
	"packages/dp/src/accountant/bins.ts": {
		"const bins = Math.max(p, taken);": ZEROS,
		"const near = Math.max(bands, Math.floor(p / 2) + 1);": ZEROS,
		"const near = Math.min(bands, Math.floor(p * 2) + 1);": ZEROS,
		"const row = new Float64Array(Math.max(bands, p, t)); // of the bin of step t, of the one before, …": ZEROS,
		"for (let j = 0; j < Math.min(bands, t); j++) row[j % p] -= strategyCoefs[j] * weights[t - j - 1];":
			"only products of two entries are used, which have the same sign",
		"const from = 2 * ahead < p ? early : 2 * ahead > p ? late : Math.max(late, early);":
			"of bins that lie opposite one another either may stand for both",
	},
	"packages/dp/src/audit/noise.ts": {
		'expects("", { history, options }, { history: "list", options: "options" });': NAMED,
		'checkCounts("", counts);': NAMED,
		'expects("", { historyOf, options }, { historyOf: "function", options: "options" });': NAMED,
		"bounds.some(({ falsePositiveRate, falseNegativeRate }) => 1 - falseNegativeRate >= truePositiveRate(history, falsePositiveRate));":
			EDGE,
		"let low = high * 2;": "it is halved until it is not refuted",
		"while (high >= low * (1 + ACCURACY)) {": EDGE,
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
	"packages/dp/src/accountant/fft.ts": {
		"const cos = new Float64Array(size * 2);": LONGER,
		"const sin = new Float64Array(size * 2);": LONGER,
		"for (let k = 0; k <= size / 2; k++) {": BEYOND,
		"for (let k = 0; k < size * 2; k++) {": BEYOND,
		"for (let start = 0; start <= size; start += 2 * half) {": BEYOND,
		"for (let i = 1, j = 0; i <= size; i++) {": "the last index is above its reverse, and is passed over",
		"if (i > j) continue;": "a number that is exchanged with itself stays",
		"if (i < j) continue;": "each pair is exchanged once, from its other end",
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
	"packages/dp/src/accountant/events.ts": {
		"if (false || kindOf(last) !== kindOf(copy)) return [...history, copy];": "no event is of the kind of none",
	},
	"packages/dp/src/mechanism.ts": {
		"for (let i = 0; i <= normals.length; i++) normals[i] = Math.round(normals[i] * deviation);": BEYOND,
		"for (let i = 0; i <= length; i++) mean[i] = ((sum[i] + noise[i]) * grid) / expectedBatchSize;": BEYOND,
	},
	"packages/dp/src/accountant/accountant.ts": {
		'const whole = "steps" in event || "" in event ? (event as AccountedEvent) : { ...event, steps: 1 };':
			"an event without a number of steps is of Poisson sampling",
	},
	"packages/dp/src/accountant/binomial.ts": {
		"const stirlingError = (n: number): number => (1 / 12 - (1 / 360 - (1 / 1260 + 1 / (1680 * n * n)) / (n * n)) / (n * n)) / n;":
			"the term is below the last bit where n is above 64",
		"if (few >= SMALL) {": "both formulas are exact to the last bits at 64",
		"const start = Math.max(k + 1, Math.min(n, Math.floor((n - 1) * p)));": STARTED,
		"for (let i = start, term = 1; i < n || term > sum * NEGLIGIBLE; i++) {": NOTHING_MORE,
		"for (let i = start, term = 1; true && term > sum * NEGLIGIBLE; i++) {": NOTHING_MORE,
		"for (let i = start, term = 1; i <= n && term > sum * NEGLIGIBLE; i++) {": NOTHING_MORE,
		"for (let i = start, term = 1; i < n && true; i++) {": NOTHING_MORE,
		"for (let i = start, term = 1; i < n && term >= sum * NEGLIGIBLE; i++) {": NOTHING_MORE,
		"for (let i = start, term = 1; i > k + 1 && true; i--) {": NOTHING_MORE,
		"for (let i = start, term = 1; i > k + 1 && term >= sum * NEGLIGIBLE; i--) {": NOTHING_MORE,
	},
	"packages/dp/src/accountant/tradeOff.ts": {
		'expects("", { history, falsePositiveRate }, { history: "list", falsePositiveRate: "number" });': NAMED,
	},
	"packages/dp/src/accountant/composition.ts": {
		"for (let k = 0; k <= size * 2; k++) {": BEYOND,
		"const bound = Math.min(1, Math.sqrt(x[k] * x[k] + y[k] * y[k])) - error;": "its error has an error of 10⁻³⁰",
		"im[twin] = false ? 0 : -im[k];": "it is round-off",
		"for (let i = 0; i <= size; i++) mass[i] = Math.max(0, re[(offset + i) % size] / size) + roundOff;": BEYOND,
		"return { pair: false ? coarsened(pair, factor) : pair, times };": SEARCHED,
		"return { pair: factor >= 1 ? coarsened(pair, factor) : pair, times };": SEARCHED,
		"let size = Math.abs(start ?? Math.sqrt(2 * slack * (base.variance + step * step)));": SEARCHED,
		"let size = Math.abs(start ?? Math.sqrt((2 / slack) / (base.variance + step * step)));": SEARCHED,
		"let size = Math.abs(start ?? Math.sqrt((2 * slack) / (base.variance + step / step)));": SEARCHED,
		"for (let i = 0; i <= NEWTON_STEPS; i++) {": SEARCHED,
		"for (let i = 0; i < NEWTON_STEPS; i--) {": SEARCHED,
		"if (false) high = size;": SEARCHED,
		"if (reached >= slack) high = size;": SEARCHED,
		"const inside = newton > low || newton < high ? newton : high < Number.POSITIVE_INFINITY ? (low + high) / 2 : 4 * low;": SEARCHED,
		"const inside = true && newton < high ? newton : high < Number.POSITIVE_INFINITY ? (low + high) / 2 : 4 * low;": SEARCHED,
		"const inside = newton >= low && newton < high ? newton : high < Number.POSITIVE_INFINITY ? (low + high) / 2 : 4 * low;": SEARCHED,
		"const inside = newton > low && true ? newton : high < Number.POSITIVE_INFINITY ? (low + high) / 2 : 4 * low;": SEARCHED,
		"const inside = newton > low && newton <= high ? newton : high < Number.POSITIVE_INFINITY ? (low + high) / 2 : 4 * low;": SEARCHED,
		"const inside = newton > low && newton < high ? newton : true ? (low + high) / 2 : 4 * low;": SEARCHED,
		"const inside = newton > low && newton < high ? newton : false ? (low + high) / 2 : 4 * low;": SEARCHED,
		"const inside = newton > low && newton < high ? newton : high <= Number.POSITIVE_INFINITY ? (low + high) / 2 : 4 * low;": SEARCHED,
		"const inside = newton > low && newton < high ? newton : high >= Number.POSITIVE_INFINITY ? (low + high) / 2 : 4 * low;": SEARCHED,
		"const inside = newton > low && newton < high ? newton : high < Number.POSITIVE_INFINITY ? (low + high) * 2 : 4 * low;": SEARCHED,
		"const inside = newton > low && newton < high ? newton : high < Number.POSITIVE_INFINITY ? (low - high) / 2 : 4 * low;": SEARCHED,
		"if (false || next * step > STEEPEST) break;": SEARCHED,
		"if (Math.abs(next - size) <= TILT_ACCURACY * size || next * step > STEEPEST) break;": SEARCHED,
		"if (Math.abs(next + size) < TILT_ACCURACY * size || next * step > STEEPEST) break;": SEARCHED,
		"if (Math.abs(next - size) < TILT_ACCURACY * size || next * step >= STEEPEST) break;": SEARCHED,
	},
	"packages/dp/src/accountant/gaussian.ts": {
		"if (false) return 0;": "the search ends at 0 as well",
		"if (a <= -37) return 0;": EDGE,
		'expects("", { mu, epsilon }, { mu: "number", epsilon: "number" });': NAMED,
		'expects("", { mu, delta }, { mu: "number", delta: "number" });': NAMED,
		"const above = (epsilon: number) => logDelta(mu, epsilon) >= Math.log(delta);": EDGE,
		"return lastWhere(above, 0, mu * (mu * 2 + Math.sqrt(-2 * Math.log(delta)) + 1));": "a wider bracket has the same end",
		'expects("", { epsilon, delta }, { epsilon: "number", delta: "number" });': NAMED,
		"const allowed = (mu: number) => logDelta(mu, epsilon) < Math.log(delta);": EDGE,
		"let low = high * 2;": "it is halved until it is allowed",
	},
	"packages/dp/src/accountant/lossPair.ts": {
		"const last = Math.max(first, Math.ceil((logRatio(high) - shift) / step) + 1);": "more points, without mass",
		"const last = Math.max(first, Math.ceil((logRatio(high) + shift) / step) - 1);": "more points, without mass",
		"const to = false ? high : Math.min(high, Math.max(from, outputAt(bottom + step)));": "no output lies beyond the last cell",
		"if (true) {": "no cell between the first and the last is empty",
		"if (to >= from) {": "no cell between the first and the last is empty",
		"const reference = Math.min(logDensity(from), logDensity(to));": "what is subtracted is added again",
		"const u = centre - half * node;": "the nodes are symmetric",
		"if (true) out[cell - start + 1] = logAdd(out[cell - start + 1], logMass[i] + Math.log(share));": "ln 0 adds nothing",
		"if (share >= 0) out[cell - start + 1] = logAdd(out[cell - start + 1], logMass[i] + Math.log(share));": "ln 0 adds nothing",
	},
	"packages/dp/src/accountant/normal.ts": {
		"for (let k = 0; k <= TERMS; k++) {": "one more term is below the last bit",
		"return turn >= 80 ? rule : rule + (2 * Math.exp(z * z - turn)) / (1 + Math.exp(-turn));": EDGE,
		"return x > 0 ? positive : Math.exp(LOG_SQRT_2PI + (x * x) / 2) - positive;": "at 0 both are √(π/2)",
		"if (!(step >= -x * 2 ** -52)) return x;": EDGE,
	},
	"packages/dp/src/accountant/sampledGaussian.ts": {
		"if (Math.abs(x) >= TAYLOR_LIMIT) return Math.expm1(x) - x;": EDGE,
		"return x <= LOG_DOMAIN_FROM ? Math.log1p(q * Math.expm1(x)) : x + Math.log(q) + Math.log1p(((1 - q) / q) * Math.exp(-x));": EDGE,
		"return x < LOG_DOMAIN_FROM ? Math.log1p(q * Math.expm1(x)) : x + Math.log(q) - Math.log1p((1 - q) / q * Math.exp(-x));":
			"e^−600 is nothing, but where the integrand is",
		"return x < LOG_DOMAIN_FROM ? Math.log1p(q * Math.expm1(x)) : x + Math.log(q) + Math.log1p(((1 - q) * q) * Math.exp(-x));":
			"e^−600 is nothing, but where the integrand is",
		"return x < LOG_DOMAIN_FROM ? Math.log1p(q * Math.expm1(x)) : x + Math.log(q) + Math.log1p(((1 + q) / q) * Math.exp(-x));":
			"e^−600 is nothing, but where the integrand is",
		"if (alpha * l >= LOG_DOMAIN_FROM) return alpha * l + Math.log1p(-alpha * Math.exp((1 - alpha) * l));": EDGE,
		"for (let i = 0; i < nodes; i++) {": "the last term is below e^−98",
		"if (term >= peak) {": "equal terms are added alike",
		"return logExcess >= 0 ? logExcess + Math.log1p(Math.exp(-logExcess)) : Math.log1p(Math.exp(logExcess));": "at 0 both are ln 2",
	},
	"packages/dp/src/accountant/sampledPair.ts": {
		"return x <= 30 ? Math.log1p(q * Math.expm1(x)) : x + Math.log(q) + Math.log1p(((1 - q) / q) * Math.exp(-x));": EDGE,
		"return t <= 30 ? Math.log1p(Math.max(-1, Math.expm1(t) / q)) : t - Math.log(q) + Math.log1p((q - 1) * Math.exp(-t));": EDGE,
		"const logB = Math.log((1 - q) / q) + (s * s) / 2 + (t >= 30 ? t : Math.log(Math.expm1(t))) - Math.LN2;": EDGE,
	},
	"packages/dp/src/accountant/tilted.ts": {
		"while (excess(tilt) >= MOST_EXCESS) tilt = (tilt + steepest) / 2;": EDGE,
		"if (false) return false;": "below 0 no loss has an ε above 0",
		"if (t < 0) return false;": "below 0 no loss has an ε above 0",
		"if (t <= 0) return true;": "below 0 no loss has an ε above 0",
		"if (inCell > -Math.expm1(-law.step)) return true;": "at the edge of a cell the next one has the same ε",
		"if (t < epsilon) return false;": "at ε its own mass adds 0",
		"if (t <= epsilon) return true;": "below ε no mass adds anything",
	},
	"packages/dp/src/audit/canaries.ts": {
		'expects("", { options }, { options: "options" });': NAMED,
		'return different("", options, (source, length) =>': NAMED,
		'expects("", { nextLogits }, { nextLogits: "function" });': NAMED,
		'return different("", options, async (source, length) => {': NAMED,
		"return left <= 0;": ONCE,
		"return false ? weights.findLastIndex((w) => w > 0) : at;": "rounding leads there once in 2⁵⁰ draws, at most",
		"return at < 0 ? weights.findLastIndex(() => undefined) : at;": "rounding leads there once in 2⁵⁰ draws, at most",
		"return at < 0 ? weights.findLastIndex((w) => true) : at;": "rounding leads there once in 2⁵⁰ draws, at most",
		"return at < 0 ? weights.findLastIndex((w) => false) : at;": "rounding leads there once in 2⁵⁰ draws, at most",
		"return at < 0 ? weights.findLastIndex((w) => w >= 0) : at;": "rounding leads there once in 2⁵⁰ draws, at most",
		"return at < 0 ? weights.findLastIndex((w) => w <= 0) : at;": "rounding leads there once in 2⁵⁰ draws, at most",
	},
	"packages/dp/src/audit/clopperPearson.ts": {
		'expects("", { count }, { count: "options" });': NAMED,
		"if (false) return 0;": "the search ends at 0 as well",
		"return lastWhere((p) => binomialTail(successes - 1, trials, p) < significance, 0, 1);": EDGE,
	},
	"packages/dp/src/audit/exposure.ts": {
		'checkScores("", scores);': NAMED,
		"for (let i = 0; i <= excluded.length; i++) rank += excluded[i] > own ? 1 : excluded[i] === own ? 0.5 : 0;": BEYOND,
	},
	"packages/dp/src/audit/gaussianPair.ts": {
		"for (let i = 0; i < nodes; i++) {": "the last node weighs nothing",
		'checkScores("", scores);': NAMED,
		'expects("", { options }, { options: "options" });': NAMED,
		"if (false) return 0;": "the search below 0 ends at 0",
		"if (high < low) return 0;": "the search below 0 ends at 0",
		"const exceeded = (d: number) => noncentralTail(t, degrees, d) < significance;": EDGE,
		'const { delta, significance } = settled("", options);': NAMED,
	},
	"packages/dp/src/audit/gaussianRates.ts": {
		'checkCounts("", counts);': NAMED,
		'expects("", { options }, { options: "options" });': NAMED,
		'const { delta, significance } = settled("", options);': NAMED,
	},
	"packages/dp/src/audit/oneRunFdp.ts": {
		"for (let i = truePositives - 1; true && right + wrong <= guesses / canaries; i--) {": "both shares only grow, and stay when i is 0",
		"for (let i = truePositives - 1; i > 0 && right + wrong <= guesses / canaries; i--) {": "both shares only grow, and stay when i is 0",
		"for (let i = truePositives - 1; i >= 0 && right + wrong < guesses / canaries; i--) {": "both shares only grow, and stay when i is 0",
		"for (let i = truePositives - 1; i >= 0 && right - wrong <= guesses / canaries; i--) {": "both shares only grow, and stay when i is 0",
		"if (false) break;": "from there on both shares shrink",
		"if (more < 0) break;": "from there on both shares shrink",
		'checkCounts("", counts);': NAMED,
		'expects("", { options }, { options: "options" });': NAMED,
		"const telling = () => undefined;": "in whichever order, the largest is found",
		"(truePositives - falsePositives) * Math.sqrt(truePositives + falsePositives + 1);": "in whichever order, the largest is found",
		"(truePositives + falsePositives) / Math.sqrt(truePositives + falsePositives + 1);": "in whichever order, the largest is found",
		"(truePositives - falsePositives) / Math.sqrt(truePositives + falsePositives - 1);": "in whichever order, the largest is found",
		"(truePositives - falsePositives) / Math.sqrt(truePositives - falsePositives + 1);": "in whichever order, the largest is found",
		"for (const each of counts.toSorted(() => undefined)) {": "in whichever order, the largest is found",
		"for (const each of counts.toSorted((a, b) => telling(b) + telling(a))) {": "in whichever order, the largest is found",
		"if (false) continue;": "a search that begins where nothing is refuted ends there",
		'const { delta, significance } = settled("", options);': NAMED,
	},
	"packages/dp/src/audit/oneRun.ts": {
		'expects("", { options }, { options: "options" });': NAMED,
		"if (false) return 1;": "as many as none are always right",
		"if (false) break;": NOTHING_MORE,
		"if (k <= right * guesses && term <= sum * NEGLIGIBLE) break;": NOTHING_MORE,
		"if (k < right / guesses && term <= sum * NEGLIGIBLE) break;": NOTHING_MORE,
		"if (k < right * guesses && term < sum * NEGLIGIBLE) break;": NOTHING_MORE,
		'checkCounts("", counts);': NAMED,
		'const { delta, significance } = settled("", options);': NAMED,
		"const refuted = (epsilon: number) => oneRunPValue({ ...given, epsilon }) < significance / counts.length;": EDGE,
		"if (false) continue;": "a search that begins where nothing is refuted ends there",
	},
	"packages/dp/src/audit/plant.ts": {
		'expects("", { records, canaries, options }, { records: "list", canaries: "list", options: "options" });': NAMED,
		"for (const canary of canaries) (source.uniform53() <= 0.5 ? included : excluded).push(canary);": ONCE,
	},
	"packages/dp/src/audit/rates.ts": {
		'checkCounts("", counts);': NAMED,
		'const { delta, significance } = settled("", options);': NAMED,
		"const of = (own: number, other: number): number => (1 - own >= delta ? Math.log((1 - own - delta) / other) : 0);":
			"ln 0 is below every bound",
	},
	"packages/dp/src/audit/scores.ts": {
		"for (let i = 0; i <= scores.length; i++) if (scores[i] >= threshold) count++;": BEYOND,
		'checkScores("", scores);': NAMED,
		'expects("", { thresholds: thresholds ?? [] }, { thresholds: "list" });': NAMED,
		'expects("attackCounts", { thresholds: thresholds ?? ["Stryker was here"] }, { thresholds: "list" });': "it is a list as well",
		'expects("", { guesses: asked }, { guesses: "list" });': NAMED,
	},
	"packages/dp/src/accountant/pld.ts": {
		"const COARSE = [];": "finer grids tell as well where nothing is spent",
		'const [larger, other] = true ? (["add", "remove"] as const) : (["remove", "add"] as const);':
			"the other direction is tightened on a later grid",
		'const [larger, other] = false ? (["add", "remove"] as const) : (["remove", "add"] as const);':
			"the other direction is tightened on a later grid",
		'const [larger, other] = bounds.add >= bounds.remove ? (["add", "remove"] as const) : (["remove", "add"] as const);':
			"the other direction is tightened on a later grid",
		'const [larger, other] = bounds.add <= bounds.remove ? (["add", "remove"] as const) : (["remove", "add"] as const);':
			"the other direction is tightened on a later grid",
		"if (true) bounds[other] = Math.min(bounds[other], tighten[other]());": "the other direction is tightened on a later grid",
		"if (bounds[other] >= bounds[larger]) bounds[other] = Math.min(bounds[other], tighten[other]());":
			"the other direction is tightened on a later grid",
		"for (const factor of COARSE) {}": "finer grids tell as well where nothing is spent",
		"if (false) return { value: 0, error: 0 };": "finer grids tell as well where nothing is spent",
		"if (evaluate(Math.max(factor * step, WIDEST)) === 0) return { value: 0, error: 0 };":
			"finer grids tell as well where nothing is spent",
		"if (evaluate(Math.min(factor / step, WIDEST)) === 0) return { value: 0, error: 0 };":
			"finer grids tell as well where nothing is spent",
		"for (let i = 0; i < MOST_REFINEMENTS || value > 0; i++) {": "the aim is reached before",
		"for (let i = 0; i <= MOST_REFINEMENTS && value > 0; i++) {": "the aim is reached before",
		"for (let i = 0; i < MOST_REFINEMENTS && true; i++) {": "the aim is reached before",
		"for (let i = 0; i < MOST_REFINEMENTS && value >= 0; i++) {": "the aim is reached before",
		"for (let i = 0; i < MOST_REFINEMENTS && value > 0; i--) {": "the aim is reached before",
		"if (false) break;": "a grid of too many points has no value, which ends it as well",
		"if (error < 2 * accuracy * value) break;": EDGE,
		'expects("", { history, delta }, { history: "list", delta: "number" });': NAMED,
		"return events.every(isPoisson) && epsilon <= bound.value ? { value: epsilon, error: bound.error } : bound;": EDGE,
		'expects("", { history, epsilon }, { history: "list", epsilon: "number" });': NAMED,
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
	"packages/dp/src/accountant/rdp.ts": {
		"const range = () => undefined;": NO_MODULE,
		'expects("", { rdpAt, options }, { rdpAt: "function", options: "options" });': NAMED,
		'expects("", { delta, orders }, { delta: "number", orders: "list" });': NAMED,
		"if (floor > best.epsilon) break;": "an order whose ε without δ is no smaller has none that is smaller",
		'expects("", { history, options }, { history: "list", options: "options" });': NAMED,
		'expects("", { history, epsilon, orders }, { history: "list", epsilon: "number", orders: "list" });': NAMED,
	},
};
