const env = globalThis.process?.env;
// A kernel of these tests runs a few times: Mesa's software driver takes longer to optimise it than to run it.
if (env !== undefined) env.GALLIVM_PERF ??= "nopt";
// Kernels that ask for no subgroups, as those of plan "gpu", do the same in vectors of four, which it compiles in half the time of those
// of eight. Its cache does not tell the two apart, so these have one of their own.
if (env?.HUSHGRAD_PLAN === "gpu" && env.LP_NATIVE_VECTOR_WIDTH === undefined) {
	env.LP_NATIVE_VECTOR_WIDTH = "128";
	env.MESA_SHADER_CACHE_DIR = `${env.MESA_SHADER_CACHE_DIR ?? "node_modules/.shaders"}-narrow`;
}
