/** Marks a piece of WGSL, so that editors colour it; the text is that of the literal with its values put in, backslashes raw. */
export const wgsl = (parts: TemplateStringsArray, ...values: readonly (string | number)[]): string => String.raw({ raw: parts }, ...values);

/** WGSL of the bits of a number below `count`, a power of two: bit0 and so on. */
export const bitsOf = (number: string, count: number): string =>
	Array.from({ length: Math.log2(count) }, (_, bit) => `let bit${bit} = (${number} & ${1 << bit}u) != 0u;`).join(" ");

/** WGSL of one of as many values as a power of two, by the number whose bits are bit0 and so on. */
export function chosen(values: readonly string[], bit = 0): string {
	if (values.length === 1) return values[0];
	const pairs = values.flatMap((v, i) => (i % 2 === 0 ? [`select(${v}, ${values[i + 1]}, bit${bit})`] : []));
	return chosen(pairs, bit + 1);
}
