import * as dp from "@hushgrad/dp";
import * as models from "@hushgrad/models";
import * as nn from "@hushgrad/nn";
import * as t from "@hushgrad/tensor";
import { config, engineOptions, f32, type Make, measures, mechanism, planOptions, roomyCache, source, store } from "./values.ts";
import type { World } from "./world.ts";

/** Objects to call methods on. */
export const INSTANCES: Readonly<Record<string, Make<unknown>>> = {
	Tensor: (w) => f32(w, 2, 3),
	Device: (w) => w.device,
	CapturedStep: (w) => t.capture(w.device, () => t.ones(w.device, [2])),
	DropoutKey: (w) => t.DropoutKey.of(w.device, t.key(1)),
	Profile: (w) => w.device.profile(() => t.ones(w.device, [2]).dispose()),
	HushgradError: () => new t.ValueError("a/b", "c"),
	Module: (w) => w.net(),
	ModuleList: (w) => new nn.ModuleList([w.net()]),
	ModuleBuffer: (w) => {
		const buffer = new nn.ModuleBuffer();
		buffer.assign(f32(w, 2));
		return buffer;
	},
	Parameter: (w) => w.problem().w,
	ParameterVector: (w) => new nn.ParameterVector([w.problem().w], "ParameterVector"),
	StaticCache: (w) => roomyCache(w),
	NF4Parameter: (w) => {
		const p = new nn.NF4Parameter([2, 64]);
		p.load(w.device, new Float32Array(128).fill(0.5));
		return p;
	},
	Linear: (w) => w.net().first,
	Dropout: () => new nn.Dropout(0.5),
	Dropout2d: () => new nn.Dropout2d(0.5),
	ReLU: () => new nn.ReLU(),
	GELU: () => new nn.GELU(),
	SiLU: () => new nn.SiLU(),
	Tanh: () => new nn.Tanh(),
	Sigmoid: () => new nn.Sigmoid(),
	Softmax: () => new nn.Softmax(),
	Sequential: () => new nn.Sequential(t.relu),
	MSELoss: () => new nn.MSELoss(),
	CrossEntropyLoss: () => new nn.CrossEntropyLoss(),
	LayerNorm: (w) => layer(w, new nn.LayerNorm(3)),
	GroupNorm: (w) => layer(w, new nn.GroupNorm(1, 2)),
	Conv1d: (w) => layer(w, new nn.Conv1d(2, 3, 2)),
	Conv2d: (w) => layer(w, new nn.Conv2d(2, 3, 2)),
	MultiheadAttention: (w) => layer(w, new nn.MultiheadAttention(4, 2)),
	DataLoader: () => new nn.DataLoader([1, 2, 3], { batchSize: 2 }),
	Embedding: (w) => {
		const layer = new nn.Embedding(4, 2);
		layer.weight.assign(f32(w, 4, 2));
		return layer;
	},
	RMSNorm: (w) => {
		const layer = new nn.RMSNorm(3);
		layer.weight.assign(f32(w, 3));
		return layer;
	},
	LoRALinear: (w) => {
		const net = w.net();
		return [...nn.applyLora(net, config(), { device: w.device, key: t.key(1) }).values()][0];
	},
	Optimizer: (w) => w.problem().optimizer,
	SGD: (w) => w.problem().optimizer,
	Adam: (w) => new nn.Adam([w.problem().w], { lr: 0.1 }),
	AdamW: (w) => new nn.AdamW([w.problem().w], { lr: 0.1 }),
	SafetensorsReader: () => nn.SafetensorsReader.open(source()),
	Batcher: (w) => new dp.Batcher(w.device),
	BoundedSum: (w) => mechanism().newSum(w.device),
	GaussianMechanism: () => mechanism(),
	PrivateMeasures: () => measures(),
	StepReport: () =>
		new dp.StepReport({
			step: 1,
			plan: dp.planPrivacy(planOptions),
			mechanism: mechanism(),
			release: { notFinite: 0 },
			measures: measures(),
		}),
	PrivacyLedger: () => dp.PrivacyLedger.open(store()),
	PrivacyEngine: (w) => dp.PrivacyEngine.makePrivateWithEpsilon(engineOptions(w)),
	PlainTrainer: (w) => new dp.PlainTrainer({ optimizer: w.problem().optimizer, datasetSize: 8, batchSize: 4 }),
	Accountant: () => new dp.Accountant(),
	RdpAccountant: () => new dp.RdpAccountant(),
	SentencePieceTokenizer: (w) => w.tokenizer,
	TokenStream: (w) => new models.TokenStream(w.tokenizer),
	VaultGemmaForCausalLM: (w) => w.causal(),
	VaultGemmaModel: (w) => w.causal().model,
};

/** A layer with weights. */
function layer<M extends nn.Module>(w: World, module: M): M {
	nn.initialize(module, w.device, t.key(1));
	return w.owned(module);
}
