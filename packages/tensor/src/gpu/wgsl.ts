/** Marks a piece of WGSL, so that editors colour it; the text is that of the literal with its values put in, backslashes raw. */
export const wgsl = (parts: TemplateStringsArray, ...values: readonly (string | number)[]): string => String.raw({ raw: parts }, ...values);
