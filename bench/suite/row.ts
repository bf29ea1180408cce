/** How the numbers of an input are drawn: about 0 with this deviation, in [0, 1), or whole and below a bound. */
export type Draw = { readonly std: number } | "unit" | { readonly below: number };

/** An operand that lies on the GPU before anything is timed. Whole numbers are i32, others f32. */
export interface Input {
	readonly shape: readonly number[];
	readonly draw: Draw;
}

export type Attrs = Readonly<Record<string, number | string | boolean>>;

/** What one run does, where that can be counted; a rate is told for the first that there is. */
export interface Amounts {
	/** Floating-point operations: a multiply-add counts as two. */
	readonly flops?: number;
	/** Bytes that must be read and written, each once. */
	readonly bytes?: number;
	/** Tokens read or written. */
	readonly tokens?: number;
}

/** One thing that is timed, as data: every contender gets the same. */
export interface Row extends Amounts {
	/** What a filter and a reader call it; no other row has it. */
	readonly name: string;
	readonly family: "kernels" | "engine" | "end to end" | "growth";
	/** Name of the program, which each contender has or has not. */
	readonly work: string;
	readonly inputs: Readonly<Record<string, Input>>;
	readonly attrs: Attrs;
	/** How far outputs of contenders may differ, in parts of the largest one; they are not compared where it is left out. */
	readonly tolerance?: number;
	/** The series that this row is a point of, and its place there. */
	readonly growth?: { readonly series: string; readonly at: number };
	/** Most rounds, of a row that takes seconds. */
	readonly rounds?: number;
}

export const normal = (...shape: readonly number[]): Input => ({ shape, draw: { std: 1 } });
export const small = (...shape: readonly number[]): Input => ({ shape, draw: { std: 0.05 } });
export const unit = (...shape: readonly number[]): Input => ({ shape, draw: "unit" });
export const below = (bound: number, ...shape: readonly number[]): Input => ({ shape, draw: { below: bound } });

export const sizeOf = (shape: readonly number[]): number => shape.reduce((n, d) => n * d, 1);
