import type { Device } from "@hushgrad/tensor";
import { defineKernel, type Kernel, type Physical, reads, runtimeOf, writes } from "@hushgrad/tensor/author";

/** A kernel that does one thing, to see what that costs. */
export interface Probe {
	readonly name: string;
	/** Records one run of it. */
	readonly run: (device: Device) => void;
	/** It is for devices whose invocations exchange values. */
	readonly exchanges?: boolean;
}

const LANES = 64;
const XYZW = "xyzw";
const EIGHT = [0, 1, 2, 3, 4, 5, 6, 7];
const upTo = (count: number, f: (i: number) => string, between = " "): string =>
	Array.from({ length: count }, (_, i) => f(i)).join(between);
const each = (f: (i: number) => string): string => EIGHT.map(f).join(" ");

/** A loop of p.turns over a body, which begins by `start` and whose result is stored. */
const loop = (start: string, body: string, end: string) =>
	({
		params: { n: "u32", turns: "u32", d: "u32", f: "f32" },
		buffers: { x: reads("f32", 4), y: writes("f32") },
		workgroup: LANES,
		body: `if (index < p.n) {\n${start}\nfor (var t = 0u; t < p.turns; t++) { ${body} }\ny_set(index, ${end});\n}`,
	}) as const;
/** Such a loop in all invocations, which may therefore exchange values. */
const together = (start: string, body: string, end: string) =>
	({
		...loop(start, body, end),
		features: ["subgroups"],
		body: `let own = subgroupLane;\n${start}\nfor (var t = 0u; t < p.turns; t++) { ${body} }\ny_set(index, ${end});`,
	}) as const;

const sums = (count: number): string => upTo(count, (i) => `var a${i} = vec4f();`);
const total = (count: number): string => upTo(count, (i) => `a${i}.x + a${i}.y + a${i}.z + a${i}.w`, " + ");
const fours = (count: number): string => upTo(count, (i) => `let q${i} = x_at4((t * ${count}u + ${i}u + index) & 1023u);`);

const fma = loop(
	each((i) => `var a${i} = vec4f(f32(index));`),
	each((i) => `a${i} += a${i} * p.f;`),
	`(${EIGHT.map((i) => `a${i}.x`).join(" + ")})`,
);
const TWELVE = [..."abcdefghijkl"];
/** Straight on, as kernels of one element an invocation are. */
const straight = loop(
	TWELVE.map((v, i) => `var ${v} = f32(index) * 0.001 + ${i}.5;`).join(" "),
	Array.from({ length: 8 }, () => TWELVE.map((v) => `${v} = 0.3 + ${v} * (0.21 + ${v} * (0.1 + ${v} * 0.7));`).join(" ")).join(" "),
	TWELVE.join(" + "),
);
/** Sums of so many rows, four products each a turn, row by row, of vectors that do not change but for those of a turn. */
const rows = (count: number) =>
	loop(
		`${sums(count)} let b = vec4f(f32(index)); ${upTo(4, (s) => `let b${s} = b * ${s}.5;`)}`,
		`${upTo(count, (i) => `let q${i} = b * f32(t + ${i}u);`)} ${upTo(count, (i) => upTo(4, (s) => `a${i} += q${i}.${XYZW[s]} * b${s};`))}`,
		total(count),
	);
/** The same of values that invocations have from their neighbours, and of others that they load. */
const sharedRows = (count: number) =>
	together(
		sums(count),
		`${fours(4 + count / 8)} ${upTo(count, (i) => upTo(4, (s) => `a${i} += subgroupBroadcast(q${4 + (i >> 3)}.${XYZW[s]}, ${i & 7}u) * q${s};`))}`,
		total(count),
	);
/** The same without loads. */
const broadcasts = (count: number) =>
	together(
		`${sums(count)} let b = vec4f(f32(index)); ${upTo(4, (s) => `let b${s} = b * ${s}.5;`)}`,
		`${upTo(count / 8, (g) => `let q${g} = b * f32(t + ${g}u);`)} ${upTo(count, (i) => upTo(4, (s) => `a${i} += subgroupBroadcast(q${i >> 3}.${XYZW[s]}, ${i & 7}u) * b${s};`))}`,
		total(count),
	);
const loads = (count: number) => loop("var a = vec4f();", `${fours(count)} ${upTo(count, (i) => `a += q${i};`)}`, "a.x + a.y + a.z + a.w");
const choose = loop(
	each((i) => `var a${i} = vec4f(f32(index));`),
	upTo(4, (s) => `let bit${s} = (t & ${1 << s}u) != 0u; ${each((i) => `a${i} = select(a${i}, a${(i + 1) & 7}, bit${s});`)}`),
	total(8),
);
const integer = loop(
	each((i) => `var a${i} = index + ${i}u;`),
	each((i) => `a${i} = (a${i} ^ (a${i} << 3u)) + t;`),
	`f32(${EIGHT.map((i) => `a${i}`).join(" + ")})`,
);
const divide = loop("var a = index;", "a = a / p.d + t; a = a / p.d + t; a = a / p.d + t; a = a / p.d + t;", "f32(a)");
const special = loop("var a = f32(index);", "a = p.f / (a + 1.0); a = sqrt(a); a = p.f / (a + 1.0); a = sqrt(a);", "a");
const branch = loop("var a = index;", "if ((a & 1u) == 1u) { a = a + p.d; } else { a = a + 3u; }", "f32(a)");
const scalar = {
	params: { n: "u32", turns: "u32" },
	buffers: { x: reads("f32"), y: writes("f32") },
	workgroup: LANES,
	body: `if (index >= p.n) { return; }
var a = 0.0;
for (var t = 0u; t < p.turns; t++) { ${each((i) => `a += x_at((index * p.turns * 8u + t * 8u + ${i}u) & 262143u);`)} }
y_set(index, a);`,
} as const;
const store = {
	params: { n: "u32", turns: "u32" },
	buffers: { y: writes("f32") },
	workgroup: LANES,
	body: `if (index >= p.n) { return; }
for (var t = 0u; t < p.turns; t++) { ${each((i) => `y_set((index * p.turns * 8u + t * 8u + ${i}u) & 262143u, f32(t));`)} }`,
} as const;
const store4 = {
	params: { n: "u32", turns: "u32" },
	buffers: { y: writes("f32", 4) },
	workgroup: LANES,
	body: `if (index >= p.n) { return; }
for (var t = 0u; t < p.turns; t++) { ${each((i) => `y_set4((index * p.turns * 8u + t * 8u + ${i}u) & 65535u, vec4f(f32(t)));`)} }`,
} as const;
/** Sixteen vectors an invocation: a workgroup costs a software driver more than a vector does. */
const copy = {
	params: { n: "u32" },
	buffers: { x: reads("f32", 4), y: writes("f32", 4) },
	workgroup: LANES,
	body: `let first = index % ${LANES}u + index / ${LANES}u * ${16 * LANES}u;
for (var i = 0u; i < 16u; i++) { let at = first + i * ${LANES}u; if (at < p.n) { y_set4(at, x_at4(at)); } }`,
} as const;

/** Workgroups that have nothing to do. */
const idleOf = (workgroup: number) =>
	({ params: { n: "u32" }, buffers: { y: writes("f32") }, workgroup, body: "if (index < p.n) { y_set(index, 1.0); }" }) as const;
const idleOf16 = defineKernel("probe/idle16", idleOf(16));
const idleOf128 = defineKernel("probe/idle128", idleOf(128));

const kernels = {
	fma: defineKernel("probe/fma", fma),
	straight: defineKernel("probe/straight", straight),
	rows8: defineKernel("probe/rows8", rows(8)),
	rows32: defineKernel("probe/rows32", rows(32)),
	broadcasts8: defineKernel("probe/broadcasts8", broadcasts(8)),
	broadcasts32: defineKernel("probe/broadcasts32", broadcasts(32)),
	shared8: defineKernel("probe/shared8", sharedRows(8)),
	shared16: defineKernel("probe/shared16", sharedRows(16)),
	shared32: defineKernel("probe/shared32", sharedRows(32)),
	loads1: defineKernel("probe/loads1", loads(1)),
	loads4: defineKernel("probe/loads4", loads(4)),
	loads8: defineKernel("probe/loads8", loads(8)),
	loads16: defineKernel("probe/loads16", loads(16)),
	choose: defineKernel("probe/choose", choose),
	integer: defineKernel("probe/integer", integer),
	divide: defineKernel("probe/divide", divide),
	special: defineKernel("probe/special", special),
	branch: defineKernel("probe/branch", branch),
};
const scalarKernel = defineKernel("probe/scalar", scalar);
const storeKernel = defineKernel("probe/store", store);
const store4Kernel = defineKernel("probe/store4", store4);
const copyKernel = defineKernel("probe/copy", copy);

const SIZE = 2 ** 18;
const kept = new WeakMap<Device, Map<string, Physical>>();

/** Memory of a device that is the probes' for good: a result that nobody owns would not be computed. */
function memoryOf(device: Device, name: "x" | "y", size = SIZE): Physical {
	const own = kept.get(device) ?? new Map<string, Physical>();
	kept.set(device, own);
	const key = `${name}${size}`;
	const memory =
		own.get(key) ??
		device.scope(() => {
			const runtime = runtimeOf(device);
			const made = runtime.empty([size]);
			runtime.own(made);
			return made;
		});
	own.set(key, memory);
	return memory;
}

const looped = (kernel: Kernel<"n" | "turns" | "d" | "f", "x" | "y">, n: number, turns: number) => (device: Device) =>
	kernel.run({ x: memoryOf(device, "x"), y: memoryOf(device, "y") }, { n, turns, d: 7, f: 0.999 }, n);

const idle = (kernel: Kernel<"n", "y">) => (device: Device) => kernel.run({ y: memoryOf(device, "y") }, { n: 1 }, [16384, 1, 1]);

/** What is run to find the costs of a device that computes on the processor. */
export const probesOf = (device: Device): readonly Probe[] =>
	PROBES.filter(({ exchanges }) => exchanges !== true || device.gpu.features.has("subgroups"));

const PROBES: readonly Probe[] = [
	{ name: "dispatch", run: looped(kernels.fma, 1, 0) },
	{ name: "workgroups", run: idle(idleOf16) },
	{ name: "wide workgroups", run: idle(idleOf128) },
	{ name: "subgroups", run: looped(kernels.fma, SIZE, 0) },
	{ name: "fma", run: looped(kernels.fma, 4096, 256) },
	{ name: "straight", run: looped(kernels.straight, 32768, 1) },
	{ name: "rows of 8", run: looped(kernels.rows8, 4096, 64) },
	{ name: "rows of 32", run: looped(kernels.rows32, 4096, 16) },
	{ name: "broadcasts to 8", run: looped(kernels.broadcasts8, 4096, 64), exchanges: true },
	{ name: "broadcasts to 32", run: looped(kernels.broadcasts32, 4096, 16), exchanges: true },
	{ name: "shared by 8", run: looped(kernels.shared8, 4096, 32), exchanges: true },
	{ name: "shared by 16", run: looped(kernels.shared16, 4096, 16), exchanges: true },
	{ name: "shared by 32", run: looped(kernels.shared32, 4096, 16), exchanges: true },
	{ name: "1 load", run: looped(kernels.loads1, 4096, 256) },
	{ name: "4 loads", run: looped(kernels.loads4, 4096, 64) },
	{ name: "8 loads", run: looped(kernels.loads8, 4096, 32) },
	{ name: "16 loads", run: looped(kernels.loads16, 4096, 16) },
	{ name: "choose", run: looped(kernels.choose, 4096, 64) },
	{ name: "integer", run: looped(kernels.integer, 4096, 512) },
	{ name: "divide", run: looped(kernels.divide, 4096, 128) },
	{ name: "special", run: looped(kernels.special, 4096, 128) },
	{ name: "branch", run: looped(kernels.branch, 4096, 1024) },
	{
		name: "scalar",
		run: (device) => scalarKernel.run({ x: memoryOf(device, "x"), y: memoryOf(device, "y") }, { n: 4096, turns: 64 }, 4096),
	},
	{ name: "store", run: (device) => storeKernel.run({ y: memoryOf(device, "y") }, { n: 4096, turns: 64 }, 4096) },
	{ name: "store4", run: (device) => store4Kernel.run({ y: memoryOf(device, "y") }, { n: 4096, turns: 32 }, 4096) },
	{
		name: "copy",
		run: (device) => {
			const n = 2 ** 22;
			copyKernel.run({ x: memoryOf(device, "x", 4 * n), y: memoryOf(device, "y", 4 * n) }, { n }, n / 16);
		},
	},
];
