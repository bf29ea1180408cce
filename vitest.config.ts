import { IN_ORDER, inNode, type Project, runOf, SMALL, type Suite } from "./vitest.base.ts";

/** Products whose invocations share what they load, in subgroups of eight. */
const WIDE = "tests/tensor/gemmShared.test.ts";
/** Files that ask for devices of plan "gpu", or "matrix" in plain WGSL, by themselves. */
const OWN_PLAN = ["tests/tensor/{plans,plans.matrixTiles,rowPlans,attention,tuning}.test.ts", "tests/nn/nf4Matrix.test.ts"];
/** Files of which either plan takes its own part. */
const BY_BOTH_PLANS = ["tests/nn/{together,lowRank}.test.ts"];
/** What is about bits that an optimising driver alone would change, by joining a product and a sum. */
const OPTIMISED = "tests/engine/fusion.test.ts";
const ELSEWHERE = ["tests/browser/**", "tests/packages/**", "tests/pages/**", ...OWN_PLAN, OPTIMISED];

/** No driver that computes on the processor takes plan "gpu" by itself. */
export const planGpu = { HUSHGRAD_PLAN: "gpu", HUSHGRAD_PROPERTY_RUNS: process.env.HUSHGRAD_PROPERTY_RUNS ?? "6" };

/** Operations, on a few numbers. */
export const tensor: Suite = { include: ["tests/tensor/**/*.test.ts"], exclude: [WIDE, ...OWN_PLAN], env: { ...SMALL, ...IN_ORDER } };
/** What stands on them. */
export const device: Suite = { include: ["tests/!(tensor)/**/*.test.ts", WIDE], exclude: ELSEWHERE };
/** What needs kernels as an optimising driver makes them. */
export const optimised: Suite = { include: [OPTIMISED], env: { GALLIVM_PERF: "" } };
/** What is of plan "gpu" alone. */
export const ofPlanGpu: Suite = { include: [...OWN_PLAN, ...BY_BOTH_PLANS], env: { ...planGpu, ...SMALL } };

/** What each kernel of plan "gpu" is tested by. */
const KERNELS = [
	"tests/tensor/{primitives,longAxes,sumReadings,longRecords,manyRows,streamed,specialValues,vmap}.test.ts",
	"tests/dp/{primitives,selfCheck,streaming}.test.ts",
	"tests/nn/nf4.test.ts",
	"tests/privacy/attacks.engine.test.ts",
];

export const onDevice: readonly Project[] = [
	inNode("device", device),
	inNode("device, optimised", optimised),
	inNode("tensor", tensor),
	inNode("plan gpu", { ...ofPlanGpu, include: [...ofPlanGpu.include, ...KERNELS] }),
];

/** The whole suite, on the machine's own device, and again the kernels of the plan that it does not take. */
export default runOf(...onDevice);
