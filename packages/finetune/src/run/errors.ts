import { DeviceError, type ErrorDetails, HushgradError } from "@hushgrad/tensor";
import { shellWord } from "../cli/shellWord.ts";

/** A run that cannot begin, go on or be read. What it has saved stays, and `hint` says how to go on. */
export class RunError extends HushgradError {
	static {
		RunError.prototype.name = "RunError";
	}
}

/** The error of whoever asks for the adapter of a run that has not saved one. */
export const noAdapter = (folder: string): RunError =>
	new RunError("run/no-adapter", "this run has no adapter yet", {
		path: folder,
		hint: `hushgrad resume ${shellWord(folder)} goes on with it`,
	});

/** Whether the device went away, which says nothing about the run. */
export const isDeviceLoss = (error: unknown): boolean => error instanceof DeviceError && error.code === "device/lost";

const codeOf = (error: unknown): unknown => (error instanceof Error && "code" in error ? error.code : undefined);
const isFull = (code: unknown): boolean => code === "ENOSPC" || code === "EDQUOT";

/** The first line of an error: what happened, without where and what to do. */
export const firstLine = (error: unknown): string => (error instanceof Error ? error.message : String(error)).split("\n")[0] ?? "";

const hintOf = (error: unknown): string | undefined => (error instanceof HushgradError ? error.hint : undefined);

/** Codes of errors after which the same settings would fail again. */
const DIVERGED: readonly unknown[] = ["privacy/diverged", "trainer/not-finite", "numeric/not-finite"];

/**
 * What stopped a run, as one error that says how to go on: from the checkpoint of step `saved` of `folder`, where the next attempt may end
 * otherwise; with other settings, where it has diverged.
 */
export function stopped(cause: unknown, { folder, saved }: { readonly folder: string; readonly saved: number }): RunError {
	const code = codeOf(cause);
	const resume = `hushgrad resume ${shellWord(folder)} goes on from step ${saved}`;
	const details = (hint: string): ErrorDetails => ({ path: folder, hint, cause });
	if (isFull(code)) {
		return new RunError("run/disk-full", "the disk is full: the run stopped", details(`make room, then ${resume}`));
	}
	if (DIVERGED.includes(code)) {
		const other = "begin a new run with a lower --lr or a smaller --max-grad-norm; see whether tokenizer and base belong together";
		return new RunError("run/diverged", `the run diverged and stopped: ${firstLine(cause)}`, details(other));
	}
	const own = hintOf(cause);
	return new RunError("run/stopped", firstLine(cause), details(own === undefined ? resume : `${own}; ${resume}`));
}
