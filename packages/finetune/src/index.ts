export { type AuditOptions, audit } from "./audit/audit.ts";
export type { AuditResult } from "./audit/auditResult.ts";
export { type Command, ExitCode, type Terminal, type Work } from "./cli/command.ts";
export { commands } from "./cli/commands.ts";
export { type HelpOptions, helpText } from "./cli/help.ts";
export { main } from "./cli/main.ts";
export { openDevice } from "./cli/openDevice.ts";
export { type Printer, printerOf, type Style } from "./cli/printer.ts";
export { processTerminal } from "./cli/processTerminal.ts";
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
export { exactMatch, normalizeAnswer, tokenF1 } from "./evaluation/answerScores.ts";
export { type EvaluateOptions, type EvaluationPart, evaluate } from "./evaluation/evaluate.ts";
export type { AnsweredExample, AnswerScores, Evaluation, EvaluationPair } from "./evaluation/evaluation.ts";
export { type ChoiceAccuracy, type Choices, choiceAccuracy, type Distractors, distractorsOf } from "./evaluation/multipleChoice.ts";
export { showEvaluation } from "./evaluation/table.ts";
export { type AnswerSettings, answer, answerFlags } from "./generate/flags.ts";
export { type Answerer, findTuned, openTuned, type Tuned, type TunedOptions } from "./generate/tuned.ts";
export type { ReportOptions } from "./report/page.ts";
export { writeReport } from "./report/writeReport.ts";
export { RunError } from "./run/errors.ts";
export type { Begun, Checking, Compiling, Evaluating, Loading, RunEvent, Saved, StepMeasures, Stepped, Warned } from "./run/events.ts";
export { Progress } from "./run/progress.ts";
export { type RunOptions, type RunResult, resume, train } from "./run/run.ts";
export { type RunFiles, runFiles } from "./run/runFolder.ts";
export { type Defaults, defaultsFor, parameterCount } from "./settings/defaults.ts";
export { settingsJsonSchema } from "./settings/jsonSchema.ts";
export { type ReadSettings, readSettings } from "./settings/readSettings.ts";
export type { SettingName } from "./settings/schema.ts";
export { type DerivedName, type GivenSettings, readSettingsFrom, type Settings, settingsText } from "./settings/settings.ts";
export type { Shape } from "./settings/shape.ts";
export { type Source, type Sources, sourceText } from "./settings/sources.ts";
