import { z } from "zod";

const number = z.number();

/** The file audit.json. */
export const auditSchema = z.object({
	/** Canaries, and those of them that a coin took into training. */
	canaries: z.int(),
	included: z.int(),
	/** Whether the records of the run were trained on, too. */
	withData: z.boolean(),
	/** Steps of the copy. */
	steps: z.int(),
	/** ε that the attack proves, at least, at δ; wrong with probability `significance`. */
	epsilonLower: number,
	/** ε that is guaranteed; undefined for a run without privacy. */
	epsilon: number.optional(),
	delta: number,
	significance: number,
	/** Exposure of the included canaries in bits: their mean, the largest, the largest there can be, and the mean without any leak. */
	exposure: z.object({ mean: number, most: number, possible: number, byChance: number }),
});

/** What an attack on a copy of a run could tell. */
export type AuditResult = Readonly<z.output<typeof auditSchema>>;
