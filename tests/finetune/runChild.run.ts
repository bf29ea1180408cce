/** A run that begins, or goes on with what is in its folder: started again and again by kills, and ended in the middle. Notes each draw of noise. */
import { appendFileSync, existsSync } from "node:fs";
import { join } from "node:path";
import { research, secureNoise } from "@hushgrad/dp";
import { resume, runFiles, train } from "@hushgrad/finetune";
import { settingsOf } from "./tinyRun.ts";

const [folder = "", mode = "secure"] = process.argv.slice(2);
/** The step that is being taken, once one is. */
let step: number | undefined;
/** What was drawn, as seen from outside of the library: process, step. */
const drew = (of: number): void => appendFileSync(join(folder, "drawn.txt"), `${process.pid} ${of}\n`);

const { getRandomValues } = crypto;
let noted = 0;
const noting = <T extends ArrayBufferView<ArrayBuffer>>(into: T): T => {
	if (step !== undefined && mode === "secure" && noted !== step) drew(step);
	noted = step ?? 0;
	getRandomValues.call(crypto, into);
	return into;
};
crypto.getRandomValues = noting;
const noise = mode === "secure" ? secureNoise() : research({ seed: 4, transcript: ({ step: of }) => drew(of) });

const controller = new AbortController();
for (const name of ["SIGINT", "SIGTERM"] as const) {
	process.on(name, () => {
		if (controller.signal.aborted) process.exit(130);
		controller.abort();
	});
}
// So many numbers that each step asks the platform for randomness.
const settings = await settingsOf(folder, { rank: "32" });
const options = {
	noise,
	signal: controller.signal,
	onEvent: (event: { readonly kind: string; readonly step?: number }): void => {
		if (event.kind === "compiling") step = event.step;
		if (event.kind === "step") step = (event.step ?? 0) + 1;
		process.send?.(event);
	},
};
const begun = existsSync(runFiles(settings.output).settings);
const { isFinished } = await (begun ? resume(settings.output, options) : train(settings, options));
process.exit(isFinished ? 0 : 3);
