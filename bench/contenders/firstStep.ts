/** A process that takes one private step, and tells the processor time it took: `firstStep.ts SIZES [ADAPTER]`. */
import { requestDevice } from "@hushgrad/tensor";
import { mainThreadMs } from "../support/counters.ts";
import { privateTraining, type StepSizes } from "../support/loraSteps.ts";

const [sizes, adapter] = process.argv.slice(2);
const device = await requestDevice({ adapter });
const { step } = privateTraining(device, JSON.parse(sizes) as StepSizes);
await step();
await device.flush();
const { user, system } = process.cpuUsage();
const host = mainThreadMs();
device.destroy();
console.log(JSON.stringify({ gpu: (user + system) / 1000 - host, host }));
