export { RunError } from "./run/errors.ts";
export type { Checking, Evaluating, Loading, RunEvent, StepMeasures, Stepped, Warned } from "./run/events.ts";
export { type RunOptions, type RunResult, resume, train } from "./run/run.ts";
export { type RunFiles, runFiles } from "./run/runFolder.ts";
export { type SettingName, settingsSchema } from "./settings/schema.ts";
