import { inNode, runOf } from "./vitest.base.ts";

export const UNITS = [
	"tests/dp/{auditCounts,auditStatistics,binomial,calibrate,calibrateClosedForm,canaries,check,composition,divergence,doors,events}.test.ts",
	"tests/dp/{fft,gaussian,mechanism,normal,plan,planRefusals,rdp,sampledGaussian,sampledPair,sampling,samplingExact,scheduleExact,secureRandom,statement,unitsExact}.test.ts",
	"tests/models/{bytesToText,chat,config,logits,parameters,sentencepieceModel,sft,tokenizer}.test.ts",
	"tests/nn/safetensors.test.ts",
	"tests/tensor/registry.test.ts",
	"tests/docs/{links,markdown,readme}.test.ts",
	"tests/examples/assets.test.ts",
	"tests/tools/{errors,layers,names,operations,size,stryker,testCommand}.test.ts",
];

/** The tests that need no device, on any system: accounting, sampling, files, texts, tools. A device that is there is hidden. */
export default runOf(inNode("unit", { include: UNITS, env: { VK_DRIVER_FILES: "/nonexistent" } }));
