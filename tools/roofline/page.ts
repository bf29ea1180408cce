/** docs/roofline.md. */
export const document = (parts: readonly string[]): string => `# Roofline

What a fine-tuning step would cost on GPUs that no test of this repository runs on. Written by
\`npm run roofline -- --document docs/roofline.md\`; \`npm run roofline -- --adapter h100|rtx4060|m2|intel-xe|this\` prints it for one.

How it is found. The step runs on a WebGPU device without a GPU behind it: buffers take no memory, commands are kept instead of run,
what is read back is 0. So every dispatch of the real step is known, with its WGSL, parameters and grid. Its WGSL is then run for its
cost alone: some workgroups of it, invocation by invocation, on data that are not there, counting instructions, turns of loops, and the
lines of memory that invocations side by side touch. FLOPs and bytes are counted so, not declared: the FLOPs are those that a kernel does,
those of the empty part of a tile included; bytes are those that invocations ask for, each place once a dispatch. The kernels are those
that the library picks for the adapter: plan "gpu" on GPUs, plan "cpu" on the driver of the last section.

What a dispatch takes is its launch and the longest of these: its bytes at the rate of the memory; what each subgroup reads for the first
time at the rate of the shared cache; on the unit with the most workgroups, instructions at the rates of its lanes, one line of its
first cache a clock, and of the memory that a workgroup shares as many clocks as the fullest of 32 banks has words; and the longest subgroup by itself, each read waited for, once a turn of a loop that is not unrolled, and each barrier. Dispatches follow each other without overlap. The counts were
held against a driver that computes on the processor (the last section). There a dispatch takes the sum of its costs: of instructions by kind; of
every access to memory and every number of it ("access", "load", "store"), which are branches for each lane; of what a turn of a loop
sets of variables around it, under a mask of lanes ("carried"); and of what a block is longer than a processor keeps decoded ("bulk"). Small
kernels tell those costs, and the steps have no part in that, but for what counts as too long a block: two numbers that were chosen with steps
in sight. Against a GPU the model was held once, an H200 ([gpu.md](gpu.md)): kernels took twice what the public rates make of them, so that half of these is what is reckoned with
here, and single kernels lie between half and twice of that. For other GPUs it is a model with public figures, good for what holds a step
back and for the order of magnitude; each prediction stands beside those with the assumed figures halved and doubled.

"Of roofline" is the share of the predicted time that FLOPs and bytes would take at the public peaks; "units busy" is the share of
multiprocessors that have a workgroup. What does not follow from shapes (which ids a text has) is taken for 0.

${parts.join("\n")}`;
