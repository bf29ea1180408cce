import type { DType, HostArray } from "./dtype.ts";
import { expects } from "./expects.ts";
import { data } from "./host.ts";
import type { Shape } from "./shape.ts";
import type { Tensor } from "./tensor.ts";

/** Above this many elements only the ends of each axis are shown, as in numpy. */
const SUMMARY_ABOVE = 1000;
const EDGE = 3;
const LINE = 75;

/**
 * Reads a tensor and gives its values as text, aligned and in brackets as numpy prints them, with type and shape in front: up to
 * 4 decimals, exponents where the sizes differ by more than a thousand, the first and last 3 of each axis above 1,000 elements.
 * `console.log(x)` itself shows type, shape and device alone, since reading is asynchronous.
 * @throws What `data` does; ValueError when x is no tensor.
 */
export async function show(x: Tensor): Promise<string> {
	expects("show", { x }, { x: "tensor" });
	const head = String(x);
	const { shape, dtype } = x;
	return `${head}\n${formatted(await data(x), shape, dtype)}`;
}

/** `show`, to the console. @throws What `show` does. */
export async function print(x: Tensor): Promise<void> {
	expects("print", { x }, { x: "tensor" });
	console.log(await show(x));
}

/** Values in brackets, as numpy prints them. */
export function formatted(values: HostArray, shape: Shape, dtype: DType): string {
	if (values.length === 0) return "[]";
	const isLong = values.length > SUMMARY_ABOVE;
	const places = shape.map((d) => placesOf(d, isLong));
	const strides = shape.map((_, i) => shape.slice(i + 1).reduce((n, d) => n * d, 1));
	const chosen: number[] = [];
	const visit = (depth: number, at: number): void => {
		if (depth === shape.length) chosen.push(values[at]);
		else for (const i of places[depth]) if (i !== undefined) visit(depth + 1, at + i * strides[depth]);
	};
	visit(0, 0);
	const format = formatFor(chosen, dtype);
	const width = chosen.reduce((n, v) => Math.max(n, format(v).length), 0);
	const block = (depth: number, at: number): string => {
		if (depth === shape.length) return format(values[at]).padStart(width);
		const parts = places[depth].map((i) => (i === undefined ? "..." : block(depth + 1, at + i * strides[depth])));
		const indent = " ".repeat(depth + 1);
		if (depth < shape.length - 1) return `[${parts.join(`${"\n".repeat(shape.length - 1 - depth)}${indent}`)}]`;
		return `[${wrapped(parts, indent, LINE - 2 * shape.length)}]`;
	};
	const text = block(0, 0);
	return text.endsWith(".") ? `${text}0` : text;
}

/** The places of an axis that are shown; undefined stands for those between. */
function placesOf(extent: number, isLong: boolean): (number | undefined)[] {
	const all = [...new Array(isLong && extent > 2 * EDGE ? 2 * EDGE : extent).keys()];
	if (all.length === extent) return all;
	return [...all.slice(0, EDGE), undefined, ...all.slice(0, EDGE).map((i) => extent - EDGE + i)];
}

/** Words in lines of at most `length` characters behind the indent. */
function wrapped(words: readonly string[], indent: string, length: number): string {
	const lines: string[] = [];
	for (const word of words) {
		const last = lines.at(-1);
		if (last !== undefined && last.length + 1 + word.length <= length) lines[lines.length - 1] = `${last} ${word}`;
		else lines.push(word);
	}
	return lines.map((line, i) => (i < lines.length - 1 ? line.trimEnd() : line)).join(`\n${indent}`);
}

/** How numbers of one tensor are written, all alike. */
function formatFor(values: readonly number[], dtype: DType): (v: number) => string {
	if (dtype === "bool") return (v) => (v === 0 ? "False" : "True");
	if (dtype === "i32" || dtype === "u32" || dtype === "u8") return String;
	const sizes = values.filter((v) => Number.isFinite(v) && v !== 0).map(Math.abs);
	const [least, most] = [Math.min(...sizes), Math.max(...sizes)];
	const isWide = sizes.length > 0 && (most >= 1e8 || least < Math.fround(1e-4) || most / least > 1e3);
	const digits = (v: number): string => (isWide ? shortest(v).toExponential(4) : shortest(v).toFixed(4));
	const fraction = (v: number): string => /\.(\d*?)0*(e|$)/.exec(digits(v))?.[1] ?? "";
	const decimals = Math.max(0, ...values.filter(Number.isFinite).map((v) => fraction(v).length));
	return (v) => {
		if (!Number.isFinite(v)) return Number.isNaN(v) ? "nan" : v > 0 ? "inf" : "-inf";
		const sign = v < 0 || Object.is(v, -0) ? "-" : "";
		if (!isWide) return `${sign}${digits(Math.abs(v)).split(".")[0]}.${fraction(v).padEnd(decimals)}`;
		const [mantissa, exponent] = shortest(Math.abs(v)).toExponential(decimals).split("e");
		return `${sign}${mantissa}${decimals === 0 ? "." : ""}e${exponent[0]}${exponent.slice(1).padStart(2, "0")}`;
	};
}

/** The number of the fewest decimal digits that is v in f32. */
function shortest(v: number): number {
	for (let n = 1; n < 9; n++) {
		const short = Number(v.toPrecision(n));
		if (Math.fround(short) === v) return short;
	}
	return v;
}
