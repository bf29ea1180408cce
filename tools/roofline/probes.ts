import type { Device } from "@hushgrad/tensor";
import { defineKernel, type Kernel, type Physical, reads, runtimeOf, writes } from "@hushgrad/tensor/author";

/** A kernel that does one thing, to see what that costs. */
export interface Probe {
	readonly name: string;
	/** Records one run of it. */
	readonly run: (device: Device) => void;
}

const LANES = 64;
const EIGHT = [0, 1, 2, 3, 4, 5, 6, 7];
const upTo = (count: number, f: (i: number) => string): string => Array.from({ length: count }, (_, i) => f(i)).join(" ");
const each = (f: (i: number) => string): string => EIGHT.map(f).join(" ");

/** A loop of p.turns over a body, which begins by `start` and whose result is stored. */
const loop = (start: string, body: string, end: string) =>
	({
		params: { n: "u32", turns: "u32", d: "u32", f: "f32" },
		buffers: { x: reads("f32", 4), y: writes("f32") },
		workgroup: LANES,
		body: `if (index >= p.n) { return; }\n${start}\nfor (var t = 0u; t < p.turns; t++) { ${body} }\ny_set(index, ${end});`,
	}) as const;

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
/** As the inner loop of a product, sum after sum, with so many rows that are read. */
const tile = (rows: number) =>
	loop(
		`${each((i) => `var a${i} = vec4f();`)} let at = index * p.turns * ${rows}u;`,
		`${upTo(rows, (i) => `let q${i} = x_at4((at + ${i}u * p.turns + t) & 65535u);`)} ${upTo(32, (i) => `a${i >> 2} += q${(i >> 2) % rows}.${"xyzw"[i & 3]} * q${(i + 1) % rows};`)}`,
		`(${each((i) => `${i === 0 ? "" : "+ "}a${i}.x + a${i}.y + a${i}.z + a${i}.w`)})`,
	);
const integer = loop(
	each((i) => `var a${i} = index + ${i}u;`),
	each((i) => `a${i} = (a${i} ^ (a${i} << 3u)) + t;`),
	`f32(${EIGHT.map((i) => `a${i}`).join(" + ")})`,
);
const divide = loop("var a = index;", "a = a / p.d + t; a = a / p.d + t; a = a / p.d + t; a = a / p.d + t;", "f32(a)");
const special = loop("var a = f32(index);", "a = p.f / (a + 1.0); a = sqrt(a); a = p.f / (a + 1.0); a = sqrt(a);", "a");
const branch = loop("var a = index;", "if ((a & 1u) == 1u) { a = a + p.d; } else { a = a + 3u; }", "f32(a)");
const serial = loop("var a = vec4f();", "a += x_at4((index * p.turns + t) & 65535u);", "a.x");
const shared = loop(
	"var a = vec4f();",
	each((i) => `a += x_at4((t * 8u + ${i}u + index) & 1023u);`),
	"a.x",
);
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
	tile4: defineKernel("probe/tile4", tile(4)),
	tile8: defineKernel("probe/tile8", tile(8)),
	tile12: defineKernel("probe/tile12", tile(12)),
	tile16: defineKernel("probe/tile16", tile(16)),
	integer: defineKernel("probe/integer", integer),
	divide: defineKernel("probe/divide", divide),
	special: defineKernel("probe/special", special),
	branch: defineKernel("probe/branch", branch),
	serial: defineKernel("probe/serial", serial),
	shared: defineKernel("probe/shared", shared),
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
export const PROBES: readonly Probe[] = [
	{ name: "dispatch", run: looped(kernels.fma, 1, 0) },
	{ name: "workgroups", run: idle(idleOf16) },
	{ name: "wide workgroups", run: idle(idleOf128) },
	{ name: "subgroups", run: looped(kernels.fma, SIZE, 0) },
	{ name: "fma", run: looped(kernels.fma, 4096, 256) },
	{ name: "straight", run: looped(kernels.straight, 32768, 1) },
	{ name: "tile of 4", run: looped(kernels.tile4, 1024, 96) },
	{ name: "tile of 8", run: looped(kernels.tile8, 1024, 96) },
	{ name: "tile of 12", run: looped(kernels.tile12, 1024, 96) },
	{ name: "tile of 16", run: looped(kernels.tile16, 1024, 96) },
	{ name: "integer", run: looped(kernels.integer, 4096, 512) },
	{ name: "divide", run: looped(kernels.divide, 4096, 128) },
	{ name: "special", run: looped(kernels.special, 4096, 128) },
	{ name: "branch", run: looped(kernels.branch, 4096, 1024) },
	{ name: "serial", run: looped(kernels.serial, 4096, 256) },
	{ name: "shared", run: looped(kernels.shared, 4096, 64) },
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
