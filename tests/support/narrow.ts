// Kernels that ask for no subgroups, as those of plan "gpu", do the same in vectors of four, which Mesa's software driver compiles in half
// the time of those of eight. Its cache does not tell the two apart, so these have one of their own.
const env = globalThis.process?.env;
if (env !== undefined) {
	env.LP_NATIVE_VECTOR_WIDTH ??= "128";
	env.MESA_SHADER_CACHE_DIR = `${env.MESA_SHADER_CACHE_DIR ?? "node_modules/.shaders"}-narrow`;
}
