import { z } from "zod";

const number = z.number();

/** The file audit.json. */
export const auditSchema = z.object({
	canaries: number,
	included: number,
	steps: number,
	epsilonLower: number,
	epsilon: number,
	delta: number,
	significance: number,
	exposure: z.object({ mean: number, most: number, possible: number, byChance: number }),
});

/** What an attack on a copy of a run could tell. */
export type AuditResult = Readonly<z.output<typeof auditSchema>>;
