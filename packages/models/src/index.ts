export * from "./adapter.ts";
export * from "./text/chat.ts";
export { KVCache } from "./gemma/cache.ts";
export * from "./gemma/config.ts";
export { type ForwardOptions, VaultGemmaForCausalLM, VaultGemmaModel } from "./gemma/model.ts";
export * from "./generate.ts";
export * from "./load.ts";
export * from "./text/sft.ts";
export * from "./text/tokenizer.ts";
