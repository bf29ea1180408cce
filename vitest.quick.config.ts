import { inNode, runOf, type Suite } from "./vitest.base.ts";
import { device, ofPlanGpu, optimised, tensor } from "./vitest.config.ts";

/** What `npm test -- --quick` leaves out. */
export const LEFT_OUT = [
	// Whole runs of training, and losses of the device.
	"tests/training/{memory,determinism,deviceLoss}.test.ts",
	"tests/examples/medicalFlashcards.test.ts",
	"tests/models/{perSampleLora,nanNaming}.test.ts",
	"tests/dp/{honestLosses,costs}.test.ts",
	// Many numbers: accounts of long plans, long axes, large tensors.
	"tests/dp/{calibrate,plan}.test.ts",
	"tests/tensor/{longRecords,manyRows,largeTensors}.test.ts",
	// Tools that work on copies of the library, and the programs of the pages, each a process of its own.
	"tests/tools/{newOp,kernels}.test.ts",
	"tests/docs/pages.test.ts",
];

const FEWER_CASES = {
	HUSHGRAD_PROPERTY_RUNS: process.env.HUSHGRAD_PROPERTY_RUNS ?? "8",
	HUSHGRAD_PROGRAMS: process.env.HUSHGRAD_PROGRAMS ?? "40",
};
const quick = ({ include, exclude = [], env }: Suite): Suite => ({
	include,
	exclude: [...exclude, ...LEFT_OUT],
	env: { ...env, ...FEWER_CASES },
});

/**
 * A part of the suite for `npm test -- --quick`: every package, every operation with fewer random cases, and all attacks on
 * privacy. A new file is in it unless it is named here.
 */
export default runOf(
	inNode("device", quick(device)),
	inNode("device, optimised", optimised),
	inNode("tensor", quick(tensor)),
	inNode("plan gpu", ofPlanGpu),
);
