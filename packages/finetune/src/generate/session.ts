import type { Terminal } from "../cli/command.ts";
import { openDevice } from "../cli/openDevice.ts";
import { Progress } from "../run/progress.ts";
import { type Answerer, checkBase, openTuned, type Tuned } from "./tuned.ts";

/** Where an answerer is loaded to. */
interface Place {
	/** Shows how far loading is. */
	readonly terminal: Terminal;
	/** The GPU, as of the setting. */
	readonly gpu?: string | undefined;
}

/** Opens the GPU and loads what answers, with a progress line meanwhile; lets both go afterwards. */
export async function withAnswerer<T>(tuned: Tuned, { terminal, gpu }: Place, act: (answerer: Answerer) => Promise<T>): Promise<T> {
	const progress = new Progress(terminal);
	const load = async () => {
		await checkBase(tuned, (event) => progress.tell(event));
		progress.tell({ kind: "opening" });
		const device = await openDevice(gpu);
		return { device, answerer: await openTuned(device, tuned, (event) => progress.tell(event)) };
	};
	const { device, answerer } = await load().finally(() => progress.close());
	try {
		return await act(answerer);
	} finally {
		device.destroy();
	}
}
