export { type RunFiles, runFiles } from "./run/runFolder.ts";
export { type SettingName, settingsSchema } from "./settings/schema.ts";
