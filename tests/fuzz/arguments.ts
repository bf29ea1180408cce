import { join } from "node:path";
import * as dp from "@hushgrad/dp";
import * as models from "@hushgrad/models";
import * as nn from "@hushgrad/nn";
import * as t from "@hushgrad/tensor";
import { fieldsOf, type Parameter, type Surface, type Target } from "./surface.ts";
import {
	cache,
	config,
	engineOptions,
	example,
	f32,
	history,
	ids,
	lossBy,
	type Make,
	mask,
	measures,
	mechanism,
	noise,
	planOptions,
	quantState,
	record,
	roomyCache,
	source,
	store,
} from "./values.ts";
import { CONFIG, type World } from "./world.ts";

/** Keys and values of one layer, with room for six tokens. */
const placement = (w: World) => ({
	...{ keys: f32(w, 1, 6, 4), values: f32(w, 1, 6, 4), at: ids(w, 1) },
	...{ cos: f32(w, 6, 2), sin: f32(w, 6, 2) },
});

/** Arguments of calls that the kinds of their parameters do not give. */
export const CALLS: Readonly<Record<string, Make<readonly unknown[] | Promise<readonly unknown[]>>>> = {
	// tensor
	avgPool1d: (w) => [f32(w, 2, 6), 2],
	avgPool2d: (w) => [f32(w, 2, 4, 4), 2],
	bincount: (w) => [ids(w, 4), 3, f32(w, 4)],
	conv1d: (w) => [f32(w, 2, 5), f32(w, 3, 2, 2)],
	conv2d: (w) => [f32(w, 2, 4, 4), f32(w, 3, 2, 2, 2)],
	addcdiv: (w) => [f32(w, 2, 3), f32(w, 2, 3), f32(w, 2, 3)],
	broadcastTo: (w) => [f32(w, 1, 3), [2, 3]],
	bucketize: (w) => [f32(w, 2, 3), f32(w, 3)],
	cdist: (w) => [f32(w, 2, 3), f32(w, 4, 3)],
	cross: (w) => [f32(w, 2, 3), f32(w, 2, 3)],
	dot: (w) => [f32(w, 3), f32(w, 3)],
	index: (w) => [f32(w, 2, 3), [ids(w, 2)]],
	indexAdd: (w) => [f32(w, 2, 3), 0, ids(w, 2), f32(w, 2, 3)],
	indexPut: (w) => [f32(w, 2, 3), [ids(w, 1)], f32(w, 1, 3)],
	maxPool1d: (w) => [f32(w, 2, 6), 2],
	maxPool2d: (w) => [f32(w, 2, 4, 4), 2],
	meshgrid: (w) => [[f32(w, 2), f32(w, 3)]],
	nllLoss: (w) => [f32(w, 2, 3), ids(w, 2)],
	outer: (w) => [f32(w, 2), f32(w, 3)],
	rot90: (w) => [f32(w, 2, 3), 1, [0, 1]],
	repeat: (w) => [f32(w, 2, 3), [2, 1]],
	roll: (w) => [f32(w, 2, 3), 1, 0],
	scatter: (w) => [f32(w, 2, 3), 0, ids(w, 1, 3), f32(w, 1, 3)],
	scatterReduce: (w) => [f32(w, 2, 3), 0, ids(w, 2, 3), f32(w, 2, 3), "prod"],
	searchsorted: (w) => [f32(w, 3), f32(w, 2, 3)],
	take: (w) => [f32(w, 2, 3), ids(w, 2)],
	takeAlongAxis: (w) => [f32(w, 2, 3), ids(w, 1, 3), 0],
	tensordot: (w) => [f32(w, 2, 3), f32(w, 3, 2), 1],
	unflatten: (w) => [f32(w, 4, 3), 0, [2, 2]],
	unfold: (w) => [f32(w, 5, 3), 0, 2, 1],
	"@hushgrad/tensor clip": (w) => [f32(w, 2, 3), f32(w, 3), 2],
	addScaled: (w) => [f32(w, 2, 3), f32(w, 2, 3), 2],
	assign: (w) => [f32(w, 2), f32(w, 2)],
	attentionSoftmax: (w) => [f32(w, 2, 3)],
	bmm: (w) => [f32(w, 2, 2, 3), f32(w, 2, 3, 2)],
	capture: (w) => [w.device, () => t.ones(w.device, [2])],
	cat: (w) => [[f32(w, 2, 3), f32(w, 2, 3)], 0],
	checkpoint: (w) => [(x: t.Tensor) => t.sin(x), [f32(w, 2)]],
	chunk: (w) => [f32(w, 4, 2), 2, 0],
	crossEntropy: (w) => [f32(w, 2, 3), ids(w, 2)],
	customVjp: () => [{ name: "own", forward: (x: t.Tensor) => ({ value: x }), backward: (dy: t.Tensor) => [dy] }],
	diagonal: (w) => [f32(w, 3, 3)],
	dropout: (w) => [f32(w, 2, 3), 0.5, t.DropoutKey.of(w.device, t.key(1))],
	einsum: (w) => ["ij,jk->ik", f32(w, 2, 3), f32(w, 3, 2)],
	embedding: (w) => [ids(w, 2), f32(w, 4, 2)],
	expand: (w) => [f32(w, 1, 3), [2, 3]],
	flatten: (w) => [f32(w, 2, 3), 0, 1],
	flip: (w) => [f32(w, 2, 3), [0]],
	gather: (w) => [f32(w, 2, 3), 0, ids(w, 2, 3)],
	geglu: (w) => [f32(w, 2, 3), f32(w, 2, 3)],
	grad: (_w) => [(x: t.Tensor) => t.sum(t.square(x))],
	hessian: () => [(x: t.Tensor) => t.sum(t.square(x))],
	hvp: (w) => [(x: t.Tensor) => t.sum(t.square(x)), [f32(w, 2)], [f32(w, 2)]],
	indexSelect: (w) => [f32(w, 2, 3), 0, ids(w, 2)],
	item: (w) => [f32(w, 1)],
	jacobian: () => [(x: t.Tensor) => t.square(x)],
	jvp: (w) => [(x: t.Tensor) => t.sin(x), [f32(w, 2)], [f32(w, 2)]],
	linear: (w) => [f32(w, 2, 3), f32(w, 4, 3)],
	linearCrossEntropy: (w) => [f32(w, 2, 3), f32(w, 4, 3), ids(w, 2)],
	linspace: (w) => [w.device, 0, 1, 3],
	logicalAnd: (w) => [mask(w, 2), mask(w, 2)],
	logicalOr: (w) => [mask(w, 2), mask(w, 2)],
	logicalXor: (w) => [mask(w, 2), mask(w, 2)],
	logicalNot: (w) => [mask(w, 2)],
	matmul: (w) => [f32(w, 2, 3), f32(w, 3, 2)],
	movedim: (w) => [f32(w, 2, 3), 0, 1],
	moveaxis: (w) => [f32(w, 2, 3), 0, 1],
	pad: (w) => [f32(w, 2, 3), [[1, 0], [0, 1]]], // biome-ignore format: pairs
	permute: (w) => [f32(w, 2, 3), [1, 0]],
	randint: (w) => [w.device, [2], t.key(1), 0, 4],
	reshape: (w) => [f32(w, 2, 3), [3, 2]],
	rmsNorm: (w) => [f32(w, 2, 3), f32(w, 3)],
	rope: (w) => [f32(w, 2, 4), f32(w, 2, 2), f32(w, 2, 2)],
	scaledDotProductAttention: (w) => [f32(w, 2, 4), f32(w, 3, 4), f32(w, 3, 2)],
	scatterAdd: (w) => [f32(w, 2, 3), 0, ids(w, 2, 3), f32(w, 2, 3)],
	slice: (w) => [f32(w, 4, 3), 0, 1, 3, 1],
	split: (w) => [f32(w, 4, 3), [1, 3], 0],
	squeeze: (w) => [f32(w, 1, 3), 0],
	stack: (w) => [[f32(w, 2), f32(w, 2)], 0],
	takeRows: (w) => [f32(w, 4, 3), ids(w, 2)],
	tensor: (w) => [w.device, [1, 2, 3], [3], "f32"],
	transpose: (w) => [f32(w, 2, 3), 0, 1],
	valueAndGrad: (w) => {
		const slot = { value: f32(w, 2) };
		return [() => t.sum(t.square(slot.value)), [slot]];
	},
	vjp: (w) => [(x: t.Tensor) => t.sin(x), [f32(w, 2)], f32(w, 2)],
	vmap: () => [(x: t.Tensor) => t.square(x)],
	where: (w) => [mask(w, 2), f32(w, 2), f32(w, 2)],
	write: (w) => [f32(w, 2), [1, 2]],
	"CapturedStep.difference": (w) => [() => t.ones(w.device, [2])],
	"CapturedStep.usesOnly": (w) => [[f32(w, 2)]],
	"Device.fromHost": () => [[1, 2], [2], "f32"],
	"Device.keep": (w) => [f32(w, 2)],
	"Device.profile": (w) => [() => t.ones(w.device, [2]).dispose()],
	"Device.scope": (w) => [() => t.ones(w.device, [2])],
	"Device.within": () => ["here", () => 3],
	"DropoutKey.of": (w) => [w.device, t.key(1)],
	"DropoutKey.fold": () => ["a"],
	"new DropoutKey": (w) => [t.zeros(w.device, [2], "u32"), 0],
	// nn
	applyLora: (w) => [w.net(), config(), { device: w.device, key: t.key(1) }],
	adapterKey: () => ["a.b", "A"],
	dequantizeNF4: () => [quantState()],
	encodeSafetensors: () => [new Map([["a", { dtype: "F32", shape: [1], data: new Uint8Array(4) }]])],
	fromFloat32: () => [Float32Array.of(1, 2), "BF16"],
	toFloat32: () => [new Uint8Array(4), "BF16"],
	loraConfig: () => [{ target_modules: "all-linear", r: 2 }],
	serializeLoraConfig: () => [config()],
	parseLoraConfig: () => [nn.serializeLoraConfig(config()), "file.json"],
	matchesTarget: () => ["a.q_proj", ["q_proj"]],
	quantizeNF4: () => [new Float32Array(128), [2, 64]],
	replaceLinears: (w) => [w.net(), (_: string, layer: nn.LinearLayer) => layer],
	cosineWithWarmup: () => [2, 10],
	kaimingUniform: (w) => [w.device, new nn.Parameter([2, 3]), t.key(1)],
	normalInit: (w) => [w.device, new nn.Parameter([2, 3]), t.key(1), 0.1],
	zerosInit: (w) => [w.device, new nn.Parameter([2, 3])],
	"new Adam": (w) => [[w.problem().w], { lr: 0.1 }],
	"new AdamW": (w) => [[w.problem().w], { lr: 0.1 }],
	"new SGD": (w) => [[w.problem().w], { lr: 0.1 }],
	"new Dropout": () => [0.5],
	"new Embedding": () => [4, 2],
	"new Linear": () => [2, 3],
	"new LoRALinear": (w) => [w.net().first, config()],
	"new ModuleList": (w) => [[w.net()]],
	"new NF4Parameter": () => [[2, 64]],
	"new Parameter": () => [[2, 3]],
	"new DataLoader": () => [[1, 2, 3], { batchSize: 2 }],
	"new ParameterVector": (w) => [[w.problem().w], "ParameterVector"],
	"new RMSNorm": () => [3, 1e-6],
	"SafetensorsReader.open": () => [source()],
	"SafetensorsReader.info": () => ["a"],
	"SafetensorsReader.read": () => ["a"],
	"Module.call": (w) => [f32(w, 1, 8)],
	"Module.replaceChild": (w) => ["first", w.net().first],
	"Linear.forward": (w) => [f32(w, 1, 8)],
	"Embedding.forward": (w) => [ids(w, 2)],
	"RMSNorm.forward": (w) => [f32(w, 2, 3)],
	"LoRALinear.forward": (w) => [f32(w, 1, 8)],
	"LoRALinear.init": (w) => [w.device, t.key(1)],
	"Dropout.forward": (w) => [f32(w, 2, 3), t.DropoutKey.of(w.device, t.key(1))],
	"ModuleBuffer.assign": (w) => [f32(w, 2)],
	"NF4Parameter.linear": (w) => [f32(w, 1, 64)],
	"NF4Parameter.load": (w) => [w.device, new Float32Array(128)],
	"NF4Parameter.loadQuantized": (w) => [w.device, quantState()],
	"Parameter.assign": (w) => [f32(w, 3, 2)],
	"LayerNorm.forward": (w) => [f32(w, 2, 3)],
	"GroupNorm.forward": (w) => [f32(w, 2, 3)],
	"Conv1d.forward": (w) => [f32(w, 2, 5)],
	"Conv2d.forward": (w) => [f32(w, 2, 4, 4)],
	"MultiheadAttention.forward": (w) => [f32(w, 3, 4), f32(w, 3, 4), f32(w, 3, 4)],
	"CrossEntropyLoss.forward": (w) => [f32(w, 2, 3), ids(w, 2)],
	"Parameter.bind": (w) => [f32(w, 3, 2), "fuzz"],
	"Parameter.linear": (w) => [f32(w, 1, 2)],
	"Parameter.load": (w) => [w.device, new Float32Array(6), "fuzz"],
	"ParameterVector.check": (w) => [[f32(w, 3, 2)]],
	"ParameterVector.join": (w) => [[f32(w, 3, 2)]],
	"ParameterVector.rangeOf": (w) => [w.problem().w],
	"ParameterVector.nameAt": () => [0],
	"Optimizer.step": (w) => [[f32(w, 3, 2)]],
	"Optimizer.update": (w) => [[f32(w, 3, 2)]],
	// dp
	appendEvent: () => [history, history[0]],
	clip: (w) => [[f32(w, 2, 6)], t.ones(w.device, [2]), { maxGradNorm: 1, grid: 2 ** -22 }],
	epsilon: () => [history, { delta: 1e-5 }],
	approximateMu: () => [history],
	calibrateNoise: () => [
		{ targetEpsilon: 8, targetDelta: 1e-4 },
		(noiseMultiplier: number) => [{ sampleRate: 0.1, noiseMultiplier, steps: 5 }],
	],
	delta: () => [history, { epsilon: 1 }],
	deltaFromRdp: () => [history, 1],
	epsilonFromRdp: () => [(a: number) => a, { delta: 1e-5 }],
	gaussianDelta: () => [1, 1],
	gaussianEpsilon: () => [1, 1e-5],
	gaussianMu: () => [1, 1e-5],
	getSampleRate: () => [{ targetEpsilon: 8, targetDelta: 1e-4, noiseMultiplier: 1, steps: 5 }],
	getSteps: () => [{ targetEpsilon: 8, targetDelta: 1e-4, sampleRate: 0.1, noiseMultiplier: 1 }],
	pldDelta: () => [history, 1],
	pldEpsilon: () => [history, 1e-5],
	prvEpsilon: () => [history, 1e-5],
	tradeOff: () => [history, 0.01],
	truePositiveRate: () => [history, 0.01],
	getNoiseMultiplier: () => [{ targetEpsilon: 8, targetDelta: 1e-4, sampleRate: 0.1, steps: 5 }],
	insecureNoiseForTests: () => [1, { stream: 0 }],
	logMoment: () => [0.1, 1, 4],
	planPrivacy: () => [planOptions],
	poissonBatch: () => [{ datasetSize: 10, sampleRate: 0.5 }, noise()],
	privacySpent: () => [history, { delta: 1e-5 }],
	privacyStatement: () => [dp.planPrivacy(planOptions), { stepsTaken: 1, secure: true }],
	rdp: () => [0.1, 1, 4],
	recordLosses: (w) => [{ device: w.device, count: 2 }, record, lossBy(w.problem().w)],
	splitVirtual: () => [Int32Array.of(1, 2, 3), 2],
	stepsForEpochs: () => [1, { datasetSize: 10, expectedBatchSize: 2 }],
	"new Batcher": (w) => [w.device],
	"Batcher.upload": () => [Int32Array.of(0, 1), record, t.key(1)],
	"Batcher.stage": () => [Int32Array.of(0, 1), record, t.key(1)],
	"Batcher.identities": () => [1, record],
	"new BoundedSum": (w) => [w.device, mechanism()],
	"BoundedSum.add": (w) => [[f32(w, 2, 6)], t.ones(w.device, [2])],
	"BoundedSum.release": () => [mechanism().draw(noise())],
	"GaussianMechanism.newSum": (w) => [w.device],
	"GaussianMechanism.draw": () => [noise()],
	"GaussianMechanism.given": () => [new Float64Array(6)],
	"new GaussianMechanism": () => [{ length: 6, maxGradNorm: 1, noiseMultiplier: 1, expectedBatchSize: 2 }],
	recordKey: () => [t.key(1), record(0)],
	research: () => [{ seed: 1 }],
	"PrivacyEngine.follow": (w) => [dp.planPrivacy(planOptions), engineOptions(w)],
	"PrivacyEngine.makePrivate": (w) => {
		const { targetEpsilon: _, ...others } = engineOptions(w);
		return [{ ...others, noiseMultiplier: 1 }];
	},
	"PrivacyEngine.fromState": (w) => {
		const engine = dp.PrivacyEngine.makePrivateWithEpsilon(engineOptions(w));
		return [engine.state(), engine.plan, engineOptions(w)];
	},
	"PrivacyLedger.open": () => [store()],
	"PrivacyLedger.begin": () => ["a", "cards", dp.planPrivacy(planOptions), true],
	"new StepReport": () => [{ step: 1, plan: dp.planPrivacy(planOptions), notFinite: 0, measures: measures() }],
	"new PrivateMeasures": () => [{ loss: 1, records: 2, meanNorm: 1, clipped: 0 }],
	"GaussianMechanism.release": () => {
		const m = mechanism();
		return [new Float64Array(7), m.draw(noise())];
	},
	"PrivacyEngine.makePrivateWithEpsilon": (w) => [engineOptions(w)],
	"PrivacyEngine.step": (w) => [record, lossBy(w.problem().w)],
	"new PlainTrainer": (w) => [{ optimizer: w.problem().optimizer, datasetSize: 8, batchSize: 4 }],
	"PlainTrainer.step": (w) => [record, lossBy(w.problem().w)],
	"new Accountant": () => ["pld"],
	"Accountant.fromState": () => [new dp.Accountant().state()],
	"Accountant.getEpsilon": () => [1e-5],
	"Accountant.step": () => [{ sampleRate: 0.1, noiseMultiplier: 1 }],
	"new RdpAccountant": () => [{}],
	"RdpAccountant.fromState": () => [new dp.RdpAccountant().state()],
	"RdpAccountant.getEpsilon": () => [1e-5],
	"RdpAccountant.step": () => [{ sampleRate: 0.1, noiseMultiplier: 1 }],
	cacheUpdate: (w) => [f32(w, 1, 4), f32(w, 1, 4), placement(w)],
	cachedAttention: (w) => [f32(w, 2, 4), placement(w)],
	callOnto: (w) => [f32(w, 2, 2), w.net().first, f32(w, 2, 3)],
	callTogether: (w) => [[w.net().first], f32(w, 2, 3)],
	placeWeightsTogether: (w) => [[w.net().first]],
	"Parameter.adapted": (w) => [f32(w, 1, 2), { a: f32(w, 2, 2), b: f32(w, 3, 2), scale: 1 }],
	"NF4Parameter.adapted": (w) => [f32(w, 1, 64), { a: f32(w, 2, 64), b: f32(w, 2, 2), scale: 1 }],
	// models
	cachedTokens: (w) => [cache(w)],
	disposeCache: (w) => [cache(w)],
	deviceOf: (w) => [w.causal()],
	encodeChat: (w) => [w.tokenizer, [{ role: "user", content: "hi" }]],
	encodeExample: (w) => [w.tokenizer, { prompt: "a", response: "b" }, { maxLength: 30 }],
	encodePrompt: (w) => [w.tokenizer, "a"],
	endIds: () => [1],
	fromPretrained: (w) => [w.checkpoint, { device: w.device }],
	generate: (w) => [w.causal(), [2, 3], { maxNewTokens: 1 }],
	generateText: (w) => [w.causal(), w.tokenizer, "a", { maxNewTokens: 1 }],
	learnedTokens: () => [example],
	checkAdapter: (w) => [w.net(), join(w.folder, "adapter")],
	loadAdapter: (w) => [w.net(), join(w.folder, "adapter"), w.device],
	loadWeights: async (w) => [w.causal(), await models.openCheckpoint(w.checkpoint), w.device, w.checkpoint],
	nextToken: () => [Float32Array.of(1, 2, 3), [0], { maxNewTokens: 1 }],
	openCheckpoint: (w) => [w.checkpoint],
	padExample: () => [example, { length: 8, padId: 0 }],
	parseConfig: () => [CONFIG, "config.json"],
	readConfig: (w) => [w.checkpoint],
	readGenerationConfig: (w) => [w.checkpoint],
	renderChat: () => [[{ role: "user", content: "hi" }], { bosToken: "<bos>", eosToken: "<eos>" }],
	saveAdapter: (w) => {
		const net = w.net();
		nn.applyLora(net, config(), { device: w.device, key: t.key(1) });
		return [net, join(w.folder, "saved"), config()];
	},
	saveModel: (w) => [w.causal(), join(w.folder, "model"), { dtype: "F32" }],
	weightsOf: (w) => [w.net(), { dtype: "F32" }],
	"SentencePieceTokenizer.contribution": () => [5, {}],
	"SentencePieceTokenizer.decode": () => [[5, 6]],
	"SentencePieceTokenizer.fromFile": (w) => [w.tokenizerFile],
	"SentencePieceTokenizer.idOf": () => ["a"],
	"SentencePieceTokenizer.pieceOf": () => [5],
	"new TokenStream": (w) => [w.tokenizer, {}],
	"TokenStream.push": () => [5],
	"new VaultGemmaForCausalLM": () => [models.parseConfig(CONFIG)],
	"new VaultGemmaModel": () => [models.parseConfig(CONFIG)],
	"VaultGemmaForCausalLM.forward": (w) => [ids(w, 3)],
	"VaultGemmaForCausalLM.decode": (w) => [ids(w, 1), roomyCache(w)],
	"new StaticCache": (w) => [cache(w), 8],
	"VaultGemmaForCausalLM.init": (w) => [w.device],
	"VaultGemmaForCausalLM.loss": (w) => [{ ids: ids(w, 3), targets: ids(w, 3), weight: t.full(w.device, [], 1) }],
	"VaultGemmaForCausalLM.step": (w) => [ids(w, 3)],
	"VaultGemmaModel.forward": (w) => [ids(w, 3)],
};

/** Arguments of the function that a call gives. */
export const THEN: Readonly<Record<string, Make<readonly unknown[]>>> = {
	grad: (w) => [f32(w, 2)],
	hessian: (w) => [f32(w, 2)],
	jacobian: (w) => [f32(w, 2)],
	vmap: (w) => [f32(w, 2, 3)],
	customVjp: (w) => [f32(w, 2)],
	cosineWithWarmup: () => [1],
};

/** Calls that are left out, and why. */
export const LEFT_OUT: Readonly<Record<string, string>> = {
	"Device.destroy": "ends the device that the other calls need",
	"Device.close": "ends the device that the other calls need",
	"new Device": "made by requestDevice: its parameters are WebGPU's own",
	"new Tensor": "made by the library: its parameters are not exported",
	"new CapturedStep": "made by capture: its parameters are not exported",
	"new Profile": "made by device.profile: its parameters are not exported",
	"new Optimizer": "abstract",
};

/** How a target is called in the tables. */
export const keyOf = ({ owner, name, kind }: Target): string =>
	kind === "constructor" ? `new ${name}` : owner === undefined ? name : `${owner}.${name}`;

/** An argument by the name and the type of its parameter. */
function argument(w: World, { name, type }: Parameter, surface: Surface): unknown {
	const bare = type.replace(/^readonly /, "").replaceAll(/ \| (undefined|null)/g, "");
	if (bare === "Tensor")
		return /^(ids|index|labels)$/.test(name) ? ids(w, 2, 3) : /^(mask|condition)$/.test(name) ? mask(w, 2, 3) : f32(w, 2, 3);
	if (bare === "Tensor[]") return [f32(w, 2, 3), f32(w, 2, 3)];
	if (bare === "Device") return w.device;
	if (bare === "Key") return t.key(1);
	if (bare === "DType") return "f32";
	if (bare === "string") return "x";
	if (bare === "boolean") return true;
	if (bare === "Module") return w.net();
	if (bare === "SentencePieceTokenizer") return w.tokenizer;
	if (bare === "number[]") return [0];
	if (bare === "Shape") return [2, 3];
	if (bare.includes("=>")) return (x: unknown) => x;
	if (bare.startsWith("number"))
		return /^(axis|dim|a|start|from|low|shift|diagonal|first)$/.test(name)
			? 0
			: /^(p|eps|std)$/.test(name)
				? 0.5
				: /^(end|n|m|count|k)$/.test(name)
					? 2
					: 1;
	const fields = fieldsOf(type, surface);
	if (fields !== undefined) return Object.fromEntries(fields.filter((f) => !f.optional).map((f) => [f.name, argument(w, f, surface)]));
	return undefined;
}

/** The arguments of a call that should succeed. */
export async function argumentsFor(w: World, target: Target, surface: Surface): Promise<unknown[]> {
	const key = keyOf(target);
	const made = CALLS[`${target.entry} ${key}`] ?? CALLS[key];
	if (made !== undefined) return [...(await made(w))];
	const given = target.parameters.filter((p) => !p.optional || p.type === "number" || p.type.includes("number[]"));
	return given.map((p) => argument(w, p, surface));
}
