export { checkAdapter, type LoadedAdapter, loadAdapter, saveAdapter } from "./adapter.ts";
export { type CausalLM, deviceOf } from "./causalLM.ts";
export { type Checkpoint, openCheckpoint } from "./files/checkpoint.ts";
export { cachedTokens, disposeCache, type KeysAndValues, type KVCache } from "./gemma/cache.ts";
export { endIds, type LayerType, parseConfig, readConfig, type VaultGemmaConfig } from "./gemma/config.ts";
export { type ForwardOptions, type Step, type TrainingRecord, VaultGemmaForCausalLM, VaultGemmaModel } from "./gemma/model.ts";
export { StaticCache } from "./gemma/staticCache.ts";
export {
	type GenerateOptions,
	generate,
	generateText,
	generateTextStream,
	nextToken,
	type SamplingOptions,
	type TextOptions,
} from "./generate.ts";
export { type GenerationConfig, readGenerationConfig } from "./generationConfig.ts";
export { fromPretrained, type LoadOptions, type LoadProgress, loadWeights, type SaveOptions, saveModel, weightsOf } from "./load.ts";
export { type ChatMessage, type ChatOptions, encodeChat, GEMMA_CHAT_TEMPLATE, renderChat } from "./text/chat.ts";
export {
	type Example,
	encodeExample,
	encodePrompt,
	learnedTokens,
	type PaddedExample,
	type PadOptions,
	type PromptResponse,
	padExample,
} from "./text/sft.ts";
export { type DecodeOptions, SentencePieceTokenizer, TokenStream } from "./text/tokenizer.ts";
