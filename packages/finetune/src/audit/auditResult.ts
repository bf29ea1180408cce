import { z } from "zod";

const number = z.number();

/** The file audit.json. */
export const auditSchema = z.object({
	/** Made-up records. */
	canaries: z.int(),
	/** Those of them that a coin took into training. */
	included: z.int(),
	/** Whether the records of the run were trained on, too. */
	withData: z.boolean(),
	/** Steps of the copy. */
	steps: z.int(),
	/** ε that the attack proves, at least, at δ; wrong with probability `significance`. */
	epsilonLower: number,
	/** ε that is guaranteed; undefined for a run without privacy. */
	epsilon: number.optional(),
	/** δ of both. */
	delta: number,
	/** Probability that the lower bound is wrong. */
	significance: number,
	/** Exposure of the included canaries, in bits. */
	exposure: z.object({
		/** Of all of them. */
		mean: number,
		/** The largest. */
		most: number,
		/** The largest that there can be. */
		possible: number,
		/** The mean without any leak. */
		byChance: number,
	}),
});

/** What an attack on a copy of a run could tell. */
export type AuditResult = Readonly<z.output<typeof auditSchema>>;
