import { fromPretrained, generateText, readGenerationConfig, SentencePieceTokenizer } from "@hushgrad/models";
import { requestDevice } from "@hushgrad/tensor";

const folder = process.argv[2] ?? "";
const device = await requestDevice();
const model = await fromPretrained(folder, { device, quantization: "nf4" });
const tokenizer = await SentencePieceTokenizer.fromFile(`${folder}/tokenizer.model`);
const { eosTokenIds } = await readGenerationConfig(folder);
console.log(await generateText(model, tokenizer, "What does insulin do?", { maxNewTokens: 12, eosTokenIds }));
device.destroy();
