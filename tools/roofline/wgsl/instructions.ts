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
	/** What a block is longer than a processor that plays a GPU keeps decoded, in words that it reads: beyond that it decodes all of it again each turn. */
	bulk: number;
	/** Components that a turn or a branch sets of variables around it: such a processor does so under a mask of its lanes. */
	carried: number;
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
	carried: 0,
	shared: 0,
	barrier: 0,
};
export const INSTRUCTIONS = Object.keys(NO_INSTRUCTIONS) as readonly (keyof Instructions)[];

/** Words that fit into the cache of decoded instructions: a word is a branch for each lane, some 60 instructions of the 1,500 that it holds. */
const DECODED = 20;
/** Other instructions that are as long as a word. */
const LENGTH = 30;

/** `bulk` of a block that reads so many words. */
export const bulkOf = (words: number, { float, integer, shared }: Instructions): number =>
	Math.max(0, words + (float + integer + shared) / LENGTH - DECODED);
