// A kernel of these tests runs a few times: Mesa's software driver takes longer to optimise it than to run it.
if (globalThis.process?.env !== undefined) process.env.GALLIVM_PERF ??= "nopt";
if (globalThis.process?.env.HUSHGRAD_PLAN === "gpu") await import("./narrow.ts");
