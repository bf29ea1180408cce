import { defineConfig } from "vitest/config";
import main from "./vitest.config.ts";

/** The tests that need no device, on any system: accounting, sampling, files, texts, tools. A device that is there is hidden. */
export default defineConfig({
	...main,
	test: {
		...main.test,
		include: [
			"tests/dp/{auditStatistics,calibrate,canaries,divergence,gaussian,mechanism,plan,rdp,sampledGaussian,sampling,secureRandom}.test.ts",
			"tests/models/{chat,logits,parameters,sft,tokenizer}.test.ts",
			"tests/nn/safetensors.test.ts",
			"tests/tensor/registry.test.ts",
			"tests/docs/{links,markdown,readme}.test.ts",
			"tests/examples/assets.test.ts",
			"tests/tools/{errors,layers,names,operations,size,testCommand}.test.ts",
		],
		env: { VK_DRIVER_FILES: "/nonexistent" },
	},
});
