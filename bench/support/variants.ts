import { ValueError } from "@hushgrad/tensor";

/** Settings of a run of the study. */
export interface Options {
	readonly model: string;
	readonly data: string;
	readonly delta: number;
	readonly steps: number;
	readonly batch: number;
	readonly sampling: "random-allocation" | "poisson" | "balls-in-bins";
	/** Bands of the square root that correlates the noise, of bins. */
	readonly bands: number;
	readonly "physical-batch": number;
	readonly "max-grad-norm": number;
	readonly optimizer: "adamw" | "sgd";
	readonly lr: number;
	readonly beta1: number;
	readonly schedule: "constant" | "cosine";
	readonly "warmup-steps": number;
	readonly "weight-decay": number;
	readonly rank: number;
	readonly alpha: number;
	readonly dropout: number;
	readonly "max-length": number;
	readonly "max-answer": number;
	/** Whether it is private. */
	readonly dp: boolean;
}

/** A way to train: plain DP-LoRA, and what differs from it. */
export interface Variant {
	/** Its settings. */
	readonly options: Options;
	/** LoRA's A stays as it was drawn, and B alone is trained (FFA-LoRA; Sun et al. 2024). */
	readonly freezeA: boolean;
}

const withOptions = (changed: Partial<Options>) => (v: Variant) => ({ ...v, options: { ...v.options, ...changed } });

/** Plain DP-LoRA, as notebooks have it; the tutorial's own settings are `steady+allocation`. */
const USUAL: Options = {
	...{ model: "assets/tiny-vaultgemma", data: "assets/flashcards.json", delta: 1e-5, steps: 16, batch: 100, dp: true },
	...{ sampling: "poisson", bands: 1, "physical-batch": 16, "max-grad-norm": 1, "max-length": 80, "max-answer": 64 },
	...{
		optimizer: "adamw",
		lr: 1e-2,
		beta1: 0.9,
		schedule: "cosine",
		"warmup-steps": 2,
		"weight-decay": 0,
		rank: 8,
		alpha: 16,
		dropout: 0.05,
	},
};

/** One change each; `change+change` is both. */
const CHANGES: Readonly<Record<string, (v: Variant) => Variant>> = {
	poisson: (v) => v,
	none: withOptions({ dp: false }),
	allocation: withOptions({ sampling: "random-allocation" }),
	bins: withOptions({ sampling: "balls-in-bins" }),
	ffa: (v) => ({ ...v, freezeA: true }),
	sgd: withOptions({ optimizer: "sgd" }),
	steady: withOptions({ schedule: "constant", beta1: 0 }),
	larger: withOptions({ batch: 200, steps: 8 }),
	full: withOptions({ batch: 393, steps: 4 }),
	shorter: withOptions({ steps: 8 }),
	longer: withOptions({ steps: 32 }),
};

/** A setting that is multiplied: `lr*2`, `clip*0.1`, `rank*0.5`, `dropout*0`, `steps*2`, `batch*2`, `bands*4`. */
const FACTORS = {
	lr: "lr",
	clip: "max-grad-norm",
	rank: "rank",
	alpha: "alpha",
	dropout: "dropout",
	steps: "steps",
	batch: "batch",
	bands: "bands",
} as const;
const FACTOR = /^(lr|clip|rank|alpha|dropout|steps|batch|bands)\*(\d*\.?\d+)$/;

/** The variant of a name, such as `ffa+allocation+lr*2`. @throws ValueError for a change that there is none of. */
export function variantOf(name: string): Variant {
	return name.split("+").reduce<Variant>((v, change) => changed(v, change), { options: USUAL, freezeA: false });
}

function changed(variant: Variant, change: string): Variant {
	const [, field, factor] = FACTOR.exec(change) ?? [];
	if (field !== undefined) {
		const option = FACTORS[field as keyof typeof FACTORS];
		return withOptions({ [option]: variant.options[option] * Number(factor) })(variant);
	}
	const apply = CHANGES[change];
	if (apply !== undefined) return apply(variant);
	throw new ValueError("utility/variant", `there is no variant ${JSON.stringify(change)}`, {
		hint: `one of ${Object.keys(CHANGES).join(", ")}, or a factor such as lr*2, joined by +`,
	});
}
