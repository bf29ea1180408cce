/** Instructions of one invocation, by what they cost. A vector counts as its components. */
export interface Instructions {
	/** Floating-point operations, as papers count them: a multiply-add is two. */
	flops: number;
	/** Instructions on floats: a multiply-add is one; comparisons, choices and conversions count too. */
	float: number;
	/** Instructions on integers and booleans. What follows from parameters alone counts nothing: compilers take it out of loops. */
	integer: number;
	/** Integer divisions and remainders by what is no power of two. */
	divide: number;
	/** Divisions, roots and WGSL's own elementary functions on floats. */
	special: number;
	/** Branches taken, and turns of loops. */
	branch: number;
	/** Words that a block reads, squared: processors fetch long blocks of instructions more slowly than short ones. */
	bulk: number;
	/** Exchanges between the invocations of a subgroup. */
	shared: number;
	/** Barriers. */
	barrier: number;
}

export const NO_INSTRUCTIONS: Instructions = {
	flops: 0,
	float: 0,
	integer: 0,
	divide: 0,
	special: 0,
	branch: 0,
	bulk: 0,
	shared: 0,
	barrier: 0,
};
export const INSTRUCTIONS = Object.keys(NO_INSTRUCTIONS) as readonly (keyof Instructions)[];
