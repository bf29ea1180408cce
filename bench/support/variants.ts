import type { Sampling } from "@hushgrad/dp";
import { ValueError } from "@hushgrad/tensor";
import { type Options, readOptions } from "../../examples/support/options.ts";

/** A way to train: the tutorial's settings, and what differs from them. */
export interface Variant {
	/** The tutorial's flags. */
	readonly options: Options;
	/** How the records of a step are chosen. */
	readonly sampling: Sampling;
	/** LoRA's A stays as it was drawn, and B alone is trained (FFA-LoRA; Sun et al. 2024). */
	readonly freezeA: boolean;
	/** AdamW without momentum (β₁ = 0), at a constant rate: every step counts alike, so that their noise averages out best. */
	readonly steady: boolean;
}

const withOptions = (changed: Partial<Options>) => (v: Variant) => ({ ...v, options: { ...v.options, ...changed } });

/** One change each; `change+change` is both. */
const CHANGES: Readonly<Record<string, (v: Variant) => Variant>> = {
	poisson: (v) => v,
	none: withOptions({ dp: false }),
	allocation: (v) => ({ ...v, sampling: { kind: "random-allocation" } }),
	ffa: (v) => ({ ...v, freezeA: true }),
	steady: (v) => ({ ...v, steady: true }),
	larger: withOptions({ batch: 200, steps: 8 }),
	full: withOptions({ batch: 393, steps: 4 }),
	shorter: withOptions({ steps: 8 }),
	longer: withOptions({ steps: 32 }),
};

/** A setting that is multiplied: `lr*2`, `clip*0.1`, `rank*0.5`, `steps*2`, `batch*2`. */
const FACTORS = { lr: "lr", clip: "max-grad-norm", rank: "rank", alpha: "alpha", steps: "steps", batch: "batch" } as const;
const FACTOR = /^(lr|clip|rank|alpha|steps|batch)\*(\d*\.?\d+)$/;

/** The variant of a name, such as `ffa+allocation+lr*2`. @throws ValueError for a change that there is none of. */
export function variantOf(name: string): Variant {
	const defaults = readOptions([]);
	if (defaults === undefined) throw new ValueError("utility/defaults", "the tutorial has no settings");
	return name.split("+").reduce<Variant>((v, change) => changed(v, change), {
		options: defaults,
		sampling: { kind: "poisson" },
		freezeA: false,
		steady: false,
	});
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
