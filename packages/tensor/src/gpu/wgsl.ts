/** Marks a piece of WGSL, so that editors colour it; the text is what a template literal would give. */
export const wgsl = (parts: TemplateStringsArray, ...values: readonly (string | number)[]): string => String.raw({ raw: parts }, ...values);
