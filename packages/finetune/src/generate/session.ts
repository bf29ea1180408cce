import { requestDevice } from "@hushgrad/tensor";
import type { Terminal } from "../cli/command.ts";
import { Progress } from "../run/progress.ts";
import { type Answerer, checkBase, openTuned, type Tuned } from "./tuned.ts";

/** Opens the GPU and loads what answers, with a progress line meanwhile; lets both go afterwards. */
export async function withAnswerer<T>(tuned: Tuned, terminal: Terminal, act: (answerer: Answerer) => Promise<T>): Promise<T> {
	const progress = new Progress(terminal);
	const load = async () => {
		await checkBase(tuned, (event) => progress.tell(event));
		progress.tell({ kind: "opening" });
		const device = await requestDevice();
		return { device, answerer: await openTuned(device, tuned, (event) => progress.tell(event)) };
	};
	const { device, answerer } = await load().finally(() => progress.close());
	try {
		return await act(answerer);
	} finally {
		device.destroy();
	}
}
