import type { Row } from "../suite/row.ts";

/** Sizes of a model and of its batch. */
interface Step {
	readonly hidden: number;
	readonly layers: number;
	readonly length: number;
	readonly rows: number;
	readonly vocabulary: number;
}

const step = (name: string, work: "plainStep" | "privateStep", sizes: Step): Row => ({
	name,
	family: "end to end",
	work,
	inputs: {},
	attrs: { ...sizes },
	tokens: sizes.rows * sizes.length,
	rounds: 6,
});

/** The model of the tutorial, and one of more width. */
const DEMO: Step = { hidden: 96, layers: 3, length: 80, rows: 8, vocabulary: 2048 };
const SCALED: Step = { hidden: 256, layers: 4, length: 128, rows: 4, vocabulary: 8192 };

/** Growth in one size, the others fixed. */
const FIXED: Step = { hidden: 64, layers: 2, length: 64, rows: 2, vocabulary: 512 };
function growth(series: "T" | "B" | "layers", field: keyof Step, sizes: readonly number[]): Row[] {
	return sizes.map((at) => ({
		...step(`private step, ${series} = ${at}`, "privateStep", { ...FIXED, [field]: at }),
		family: "growth",
		growth: { series, at },
		rounds: 4,
	}));
}

const NEW_TOKENS = 32;
const one = (name: string, work: string, attrs: Row["attrs"], more: Partial<Row> = {}): Row => ({
	name,
	family: "end to end",
	work,
	inputs: {},
	attrs,
	rounds: 5,
	...more,
});

/** What a user waits for. */
export const END_TO_END: readonly Row[] = [
	step("plain step of the demo's model", "plainStep", DEMO),
	step("private step of the demo's model", "privateStep", DEMO),
	step("plain step of a wider model", "plainStep", SCALED),
	step("private step of a wider model", "privateStep", SCALED),
	...growth("T", "length", [32, 64, 128, 256, 512, 1024]),
	...growth("B", "rows", [1, 2, 4, 8, 16, 32]),
	...growth("layers", "layers", [2, 6, 13, 26]),
	one(`generate ${NEW_TOKENS} tokens with the demo's model`, "generate", { tokens: NEW_TOKENS }, { tokens: NEW_TOKENS }),
	one(
		`generate ${NEW_TOKENS} tokens with a model of 26 layers and LoRA`,
		"generate",
		{ tokens: NEW_TOKENS, hidden: 128, layers: 26, length: 128, rows: 1, vocabulary: 2048 },
		{ tokens: NEW_TOKENS },
	),
	one("load the demo's model in NF4", "load", {}),
	one("start to the first private step, no shader cached", "coldStart", { cached: false, ...DEMO }, { rounds: 2 }),
	one("start to the first private step, shaders cached", "coldStart", { cached: true, ...DEMO }, { rounds: 2 }),
];
