export { type Command, ExitCode, type Terminal, type Work } from "./cli/command.ts";
export { commands } from "./cli/commands.ts";
export { main } from "./cli/main.ts";
export { countRecords, type DataSettings, readRecords } from "./data/readRecords.ts";
export type { BrokenRecord, Records, TextRecord } from "./data/records.ts";
export { type TextForm, textForm } from "./data/textForm.ts";
export {
	type TokenizedRecord,
	type TokenizedRecords,
	type TokenSettings,
	type TooLong,
	tokenizeRecords,
} from "./data/tokenizeRecords.ts";
export { type RunFiles, runFiles } from "./run/runFolder.ts";
export { defaultsFor, parameterCount } from "./settings/defaults.ts";
export { type ReadSettings, readSettings } from "./settings/readSettings.ts";
export { type Section, type SettingName, settingsSchema } from "./settings/schema.ts";
export { type DerivedName, type GivenSettings, readSettingsFrom, type Settings, settingsText } from "./settings/settings.ts";
export type { Shape } from "./settings/shape.ts";
export { type Source, type Sources, sourceText } from "./settings/sources.ts";
