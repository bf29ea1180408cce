export interface Known {
	readonly reason: string;
	/** What the failure says. */
	readonly shows: RegExp;
}

interface Group extends Known {
	/** Names of cases without "test_". */
	readonly cases: string;
}

/** Cases that do not pass, by reason. */
const GROUPS: readonly Group[] = [
	{
		reason: "the expected value has every intermediate rounded to bf16, and lies two units of bf16 off the exact one; ours are f32",
		shows: /^output 0: element \d+ is 0\.4\d+, expected 0\.4\d+$/,
		cases: "attention_4d_causal_bf16 attention_4d_causal_padded_kv_bf16",
	},
	{
		reason: "the expected values are written with four digits",
		shows: /^output 0: element \d+ is 0\.1510\d+, expected 0\.1510999\d+$/,
		cases: "averagepool_2d_ceil_last_window_starts_on_pad",
	},
	{
		reason: "the expected mask comes from numpy's random generator",
		shows: /^Error: the mask comes from numpy/,
		cases: "training_dropout training_dropout_default training_dropout_default_mask training_dropout_mask",
	},
];

export const KNOWN: Readonly<Record<string, Known>> = Object.fromEntries(
	GROUPS.flatMap(({ cases, ...known }) => cases.split(/\s+/).map((name) => [`test_${name}`, known])),
);
