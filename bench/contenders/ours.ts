/** The process in which this library runs. `--adapter NAME` chooses the GPU. */
import { parseArgs } from "node:util";
import { data, type HostValues, requestDevice, type Tensor } from "@hushgrad/tensor";
import { versionOf } from "../suite/environment.ts";
import { serve } from "../suite/serve.ts";
import { kernelPrograms } from "./ours.kernels.ts";
import { stepPrograms } from "./ours.steps.ts";

const { values: flags } = parseArgs({ options: { adapter: { type: "string" } } });

await serve<Tensor>(async () => {
	const device = await requestDevice({ adapter: flags.adapter });
	const { description, device: name, vendor } = device.info;
	const adapter = [name || vendor, description].filter((s) => s !== "").join(", ");
	return {
		description: {
			library: "@hushgrad/tensor",
			version: versionOf("@hushgrad/tensor"),
			adapter,
			isSoftware: /llvmpipe|lavapipe|swiftshader/i.test(adapter),
		},
		upload: (values: HostValues, shape) => device.fromHost(values, shape),
		programs: { ...kernelPrograms(device), ...stepPrograms(device, flags.adapter) },
		cannot: (work) => `no program for ${work}`,
		wait: () => device.flush(),
		read: async (t) => Float32Array.from((await data(t)) as Float32Array),
		release: (tensors) => {
			for (const t of tensors) t.dispose();
		},
	};
});
