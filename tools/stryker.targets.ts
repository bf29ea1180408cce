/** Source files, and the tests that are about them. */
interface Target {
	readonly files: readonly string[];
	readonly tests: readonly string[];
	/** They hold WGSL, which is made once in a process: each mutant has its modules loaded anew. */
	readonly isFresh?: true;
}

const of = (folder: string, names: readonly string[]) => names.map((name) => `${folder}/${name}.ts`);
const nn = (...names: readonly string[]) => of("packages/nn/src", names);
const models = (...names: readonly string[]) => of("packages/models/src", names);
const dp = (...names: readonly string[]) => of("packages/dp/src", names);
const accountant = (...names: readonly string[]) => of("packages/dp/src/accountant", names);
const clip = (...names: readonly string[]) => of("packages/dp/src/clip", names);
const audit = (...names: readonly string[]) => of("packages/dp/src/audit", names);
const tests = (...names: readonly string[]) => names.map((name) => `tests/${name}.test.ts`);

/** What StrykerJS runs on: the readers of files and texts from elsewhere, and what an ε hangs on. */
export const TARGETS: readonly Target[] = [
	{
		files: nn(...["convert", "dtype", "duplicateKey", "header", "reader", "writer"].map((name) => `safetensors/${name}`)),
		tests: tests("nn/safetensors"),
	},
	{ files: nn("files"), tests: tests("nn/files", "nn/state") },
	{ files: models("files/checkpoint"), tests: tests("models/checkpoint") },
	{ files: models("files/json", "gemma/config", "generationConfig"), tests: tests("models/config") },
	{ files: models("text/protobuf", "text/sentencepieceModel"), tests: tests("models/sentencepieceModel") },
	{ files: models("text/bytesToText"), tests: tests("models/bytesToText") },
	{ files: models("text/chat"), tests: tests("models/chat") },
	{ files: dp("check"), tests: tests("dp/check") },
	{ files: dp("report"), tests: tests("dp/statement") },
	{ files: dp("plan"), tests: tests("dp/planRefusals") },
	{ files: dp("ledger"), tests: tests("dp/ledger") },
	{ files: dp("files"), tests: tests("dp/ledgerFile") },
	{ files: dp("allocation", "roster"), tests: tests("dp/allocation") },
	{ files: dp("sha256"), tests: tests("dp/sha256") },
	{ files: dp("sampler", "sampling"), tests: tests("dp/samplingExact", "dp/doors") },
	{ files: dp("philox", "normals", "secureRandom"), tests: tests("dp/secureRandomExact", "dp/wiping", "dp/doors") },
	{ files: dp("divergence"), tests: tests("dp/divergence") },
	{
		files: audit("clopperPearson", "exposure", "gaussianPair", "gaussianRates", "oneRun", "oneRunFdp", "rates", "scores"),
		tests: tests("dp/auditCounts", "dp/doors"),
	},
	{ files: audit("canaries", "plant"), tests: tests("dp/canaries", "dp/doors") },
	{ files: accountant("binomial"), tests: tests("dp/binomial") },
	{ files: accountant("bisect", "normal", "gaussian"), tests: tests("dp/normal", "dp/gaussian", "dp/doors") },
	{ files: accountant("events", "spent", "accountant", "gdp"), tests: tests("dp/events", "dp/doors") },
	{ files: accountant("sampledGaussian"), tests: tests("dp/sampledGaussian", "dp/doors") },
	{ files: accountant("rdp"), tests: tests("dp/rdp", "dp/doors") },
	{ files: accountant("calibration", "crossing"), tests: tests("dp/crossing", "dp/calibrateClosedForm", "dp/doors") },
	{ files: accountant("fft"), tests: tests("dp/fft") },
	{ files: accountant("composition", "tilted"), tests: tests("dp/composition") },
	{ files: accountant("lossPair", "sampledPair", "truncatedPoisson", "randomAllocation"), tests: tests("dp/sampledPair") },
	{ files: accountant("pld"), tests: tests("dp/pldExact", "dp/pldGrids", "dp/doors") },
	{ files: accountant("prv"), tests: tests("dp/prvExact", "dp/doors") },
	{ files: accountant("tradeOff"), tests: tests("dp/tradeOff", "dp/doors") },
	{ files: audit("noise"), tests: tests("dp/auditNoise", "dp/doors") },
	{ files: dp("correlation"), tests: tests("dp/correlation") },
	{ files: accountant("bins"), tests: tests("dp/binnedHistory") },
	{ files: dp("schedule"), tests: tests("dp/scheduleExact") },
	{ files: dp("units"), tests: tests("dp/unitsExact", "privacy/units") },
	{ files: dp("mechanism"), tests: tests("dp/mechanism") },
	{ files: dp("engineState"), tests: tests("dp/engineState") },
	{ files: dp("stepReport"), tests: tests("dp/report") },
	{ files: dp("optimizer"), tests: tests("dp/optimizer") },
	{ files: dp("perRecord"), tests: tests("dp/perRecord") },
	{ files: dp("records"), tests: tests("dp/records") },
	{ files: dp("boundedSum", "noiseDraw"), tests: tests("dp/noisySum", "dp/mechanism") },
	{
		files: clip("addClipped", "addParts", "clipFactors", "differs", "squareParts", "tree"),
		tests: tests("dp/definitions", "dp/workgroups", "dp/primitives", "dp/clipExact"),
		isFresh: true,
	},
	{ files: clip("blocks", "gradientColumns", "rows"), tests: tests("dp/blocks") },
	{ files: dp("addNoise"), tests: tests("dp/definitions", "dp/primitives", "dp/noisySum"), isFresh: true },
	{ files: clip("clip", "adaptive"), tests: tests("dp/clipExact", "dp/clip", "dp/perLayer", "dp/adaptive") },
	{ files: dp("stepNoise", "stepMechanisms"), tests: tests("dp/stepNoiseExact") },
	{ files: dp("noiseWorkers"), tests: tests("dp/noiseWorkersExact") },
	{ files: dp("selfCheck"), tests: tests("dp/selfCheckExact") },
	{ files: dp("diagnostics", "transcript", "parameterUpdates"), tests: tests("dp/stepNotes") },
	{ files: dp("streaming"), tests: tests("dp/gradientMode") },
	{ files: dp("replays"), tests: tests("dp/replaysExact") },
	{ files: dp("evaluate"), tests: tests("dp/evaluate") },
	{ files: dp("trainer", "plainTrainer"), tests: tests("dp/trainerExact", "dp/plainTrainer") },
	{ files: dp("engine"), tests: tests("dp/engineExact", "dp/handedOver", "dp/state", "dp/ledgerEngine", "dp/wiring", "dp/engine") },
];
