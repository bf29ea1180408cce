import type { RunEvent } from "./events.ts";
import type { Keeper } from "./keeper.ts";
import type { Prepared } from "./prepare.ts";
import type { Session } from "./session.ts";

/** How steps are taken. */
export interface StepOptions {
	/** Is told of each. */
	readonly tell: (event: RunEvent) => void;
	/** Once aborted, no further one is begun. */
	readonly signal?: AbortSignal | undefined;
}

/** Takes the steps that are left, and saves in between. Gives whether all were taken. */
export async function takeSteps(session: Session, keeper: Keeper, { tell, signal }: StepOptions): Promise<boolean> {
	const { training, optimizer, device } = session;
	const { settings, plan } = keeper.prepared;
	const { steps, batchSize, maxLength, privateLosses } = settings;
	const save = async (): Promise<void> => {
		if (keeper.saved === training.steps) return;
		tell({ kind: "saving", step: training.steps });
		await keeper.save(session);
	};
	for (let isFirst = true; training.steps < steps && signal?.aborted !== true; isFirst = false) {
		if (isFirst) tell({ kind: "compiling", step: training.steps + 1 });
		const began = performance.now();
		const { lr } = optimizer;
		const outcome = await training.step();
		const seconds = (performance.now() - began) / 1000;
		await keeper.note(outcome, lr, seconds);
		const { step, epsilon } = outcome.public;
		tell({
			...{ kind: "step", step, steps, epsilon, targetEpsilon: plan?.targetEpsilon, lr, seconds },
			tokensPerSecond: (batchSize * maxLength) / seconds,
			peakBytes: device.memory().peakBytes,
			private: privateLosses || plan === undefined ? outcome.private : undefined,
		});
		if (isDue(step, keeper.prepared)) await save();
	}
	await save();
	return training.steps >= steps;
}

/** Whether a checkpoint is to be written after a step: every so often, and where an epoch has begun, whose allocation it keeps. */
function isDue(step: number, { settings: { saveEvery }, plan }: Prepared): boolean {
	if (step % saveEvery === 0) return true;
	return plan?.sampling.kind === "random-allocation" && step % Math.round(1 / plan.sampleRate) === 1;
}
