import { linear, matmul, mul, ones, requestDevice, scaledDotProductAttention, type Tensor } from "@hushgrad/tensor";
import { runtimeOf } from "@hushgrad/tensor/author";
import { afterAll, describe, expect, test } from "vitest";
import { nonNegative } from "../../tools/roofline/ceilings.ts";
import { DryDevice } from "../../tools/roofline/dryDevice.ts";
import { FIGURES, machineOf } from "../../tools/roofline/machines.ts";
import { costed, recordStep, recordToken, rowsBy } from "../../tools/roofline/step.ts";
import { configOf, type Subject, training } from "../../tools/roofline/subject.ts";
import { compile } from "../../tools/roofline/wgsl/compile.ts";
import { type Work, Workings } from "../../tools/roofline/work.ts";

const real = await requestDevice();
afterAll(() => real.destroy());
const adapter = { ...machineOf("h100").adapter };

/** What the kernels of `run` do. */
async function workOf(run: (make: (...shape: number[]) => Tensor) => void): Promise<Work[]> {
	const dry = new DryDevice(adapter);
	dry.device.scope<void>(() => run((...shape) => ones(dry.device, shape)));
	await dry.device.flush();
	const workings = new Workings(32);
	return dry
		.take()
		.dispatches.filter((d) => !d.kernel.startsWith("full"))
		.map((d) => workings.of(d));
}

const sumOf = (works: readonly Work[]): number => works.reduce((n, w) => n + w.flops, 0);

describe("what kernels do, counted from their WGSL", () => {
	test("a product is 2 M N K FLOPs, and reads and writes its matrices once", async () => {
		const [M, K, N] = [128, 256, 384];
		const [work, ...rest] = await workOf((make) => matmul(make(M, K), make(K, N)));
		expect(rest).toEqual([]);
		expect(work.flops).toBe(2 * M * N * K);
		expect(work.read).toBe(4 * (M * K + K * N));
		expect(work.written).toBe(4 * M * N);
	});

	test("a product that leaves tiles half empty does no less than its FLOPs", async () => {
		const [M, K, N] = [1, 97, 65];
		const [work] = await workOf((make) => matmul(make(M, K), make(K, N)));
		expect(work.flops).toBeGreaterThanOrEqual(2 * M * N * K);
	});

	test("a linear map of records with one weight is one product, with a bias one sum more", async () => {
		const [B, T, K, N] = [2, 64, 128, 256];
		const works = await workOf((make) => linear(make(B, T, K), make(N, K), make(N)));
		expect(sumOf(works)).toBe(2 * B * T * N * K + B * T * N);
	});

	test("attention is two products of T by T and the exponentials between them, and writes no scores", async () => {
		const [H, T, K] = [2, 128, 128];
		const works = await workOf((make) => scaledDotProductAttention(make(H, T, K), make(H, T, K), make(H, T, K)));
		const [{ kernel, flops, written }] = works;
		expect([works.length, kernel.startsWith("attention/")]).toEqual([1, true]);
		const products = 2 * (2 * H * T * T * K);
		expect(flops).toBeGreaterThanOrEqual(products);
		expect(flops).toBeLessThan(1.25 * products);
		expect(written).toBe(4 * H * (T * K + T));
	});

	test("a vector operation moves each element once, in lines that lanes share", async () => {
		const n = 2 ** 20;
		const [work] = await workOf((make) => mul(make(n), make(n)));
		expect(work.flops).toBe(n);
		expect([work.read, work.written]).toEqual([8 * n, 4 * n]);
		expect(work.total.lines).toBe((3 * 4 * n) / 128);
	});

	test("turns of loops, branches and divisions are those that run", () => {
		const program = compile(`struct Params { n: u32, d: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> y: array<vec2f>;
fn half(x: f32) -> f32 { return x * 0.5; }
@compute @workgroup_size(8) fn main(@builtin(local_invocation_index) lane: u32) {
	var sum = vec2f();
	for (var i = 0u; i < p.n; i++) { if ((i & 1u) == 1u) { sum += vec2f(half(1.0)); } }
	y[lane / p.d] = sum;
	y[lane % p.d] = sum;
}`);
		const blocks = new Float64Array(program.blocks.length);
		const touched: number[] = [];
		const trace = { blocks, turn: 0, touch: (_: number, element: number) => touched.push(element) };
		program.run(trace, { n: 6, d: 3 }, { group: [0, 0, 0], groups: [1, 1, 1], local: [7, 0, 0], lane: 7, width: 8 });
		const total = (of: "flops" | "divide" | "branch"): number => blocks.reduce((sum, runs, b) => sum + runs * program.blocks[b][of], 0);
		expect(total("flops")).toBe(3 * 2);
		expect(total("divide")).toBe(1);
		expect(total("branch")).toBe(6 + 3);
		expect(touched).toEqual([2, 1]);
	});

	test("a function that gives what it gave before is called once, and what a turn sets of variables around it is counted", () => {
		const program = compile(`struct Params { n: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
fn cube(x: f32) -> f32 { return x * x * x; }
fn twice(x: f32) -> f32 { return cube(x) + cube(x); }
@compute @workgroup_size(8) fn main(@builtin(local_invocation_index) lane: u32) {
	let x = f32(lane);
	var a = vec4f();
	var b = cube(x) + twice(x);
	for (var i = 0u; i < p.n; i++) { var c = x; c *= x; a += vec4f(c); b = twice(x + f32(i)) + twice(x + f32(i)); }
	y[lane] = a.x + b + cube(x);
}`);
		const blocks = new Float64Array(program.blocks.length);
		const trace = { blocks, turn: 0, touch: () => {} };
		program.run(trace, { n: 5 }, { group: [0, 0, 0], groups: [1, 1, 1], local: [7, 0, 0], lane: 7, width: 8 });
		const total = (of: "flops" | "carried"): number => blocks.reduce((sum, runs, b) => sum + runs * program.blocks[b][of], 0);
		// cube 2, twice 3: outside cube, twice and three sums, in a turn c, a, a sum, twice and a sum.
		expect(total("flops")).toBe(2 + 3 + 3 + 5 * (1 + 4 + 1 + 3 + 1));
		// a, b and i.
		expect(total("carried")).toBe(5 * (4 + 1 + 1));
	});

	test.each([
		["short", 1, 0],
		["as long as what stays decoded", 5, 0],
		["longer", 12, 4 * (12 - 5)],
	])("of a turn that is %s counts what it reads beyond that", (_, count, beyond) => {
		const reads = Array.from({ length: count }, (_, i) => `let q${i} = x[i + ${i}u];`).join(" ");
		const { blocks } = compile(`struct Params { n: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4f>;
@compute @workgroup_size(8) fn main() { for (var i = 0u; i < p.n; i++) { ${reads} } }`);
		const most = Math.max(...blocks.map((b) => b.bulk));
		expect(most).toBeGreaterThanOrEqual(beyond);
		expect(most).toBeLessThan(beyond + 0.2);
	});

	test("memory of the workgroup, barriers, subgroups and arrays in arrays are understood", () => {
		const program = compile(`@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(3) var<storage, read_write> counts: array<atomic<u32>>;
var<workgroup> tile: array<vec4f, 64>;
@compute @workgroup_size(64, 1, 1) fn main(
	@builtin(local_invocation_id) at: vec3u, @builtin(subgroup_invocation_id) own: u32, @builtin(subgroup_id) group: u32) {
	var sums: array<array<f32, 2>, 2>;
	tile[at.x] = x[at.x];
	workgroupBarrier();
	for (var i = 0u; i < 4u; i++) { sums[i / 2u][i % 2u] += dot(tile[(at.x + i) % 64u], tile[i]); }
	let total = subgroupAdd(sums[0][0] + sums[1][1]);
	if (own == 0u) { y[group] = total; atomicAdd(&counts[group], 1u); }
}`);
		const blocks = new Float64Array(program.blocks.length);
		const touched: number[][] = [];
		const trace = { blocks, turn: 0, touch: (site: number, element: number) => touched.push([program.sites[site].binding, element]) };
		program.run(trace, {}, { group: [0, 0, 0], groups: [1, 1, 1], local: [32, 0, 0], lane: 32, width: 32 });
		const total = (of: "flops" | "shared" | "barrier"): number => blocks.reduce((sum, runs, b) => sum + runs * program.blocks[b][of], 0);
		expect(total("flops")).toBe(4 * (7 + 1) + 1);
		expect(total("shared")).toBe(5);
		expect(total("barrier")).toBe(1);
		expect(touched.filter(([binding]) => binding < 0)).toHaveLength(1 + 4 * 2);
		expect(touched.filter(([binding]) => binding >= 0)).toEqual([
			[1, 32],
			[2, 1],
			[3, 1],
		]);
	});

	/** What the only workgroup of a kernel does whose 32 invocations share an array. */
	const workOfShared = (body: string, type = "f32"): Work => {
		const wgsl = `var<workgroup> tile: array<${type}, 2048>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@compute @workgroup_size(32, 1, 1) fn main(@builtin(local_invocation_index) lane: u32) { ${body} y[lane] = 1.0; }`;
		return new Workings(32).of({ kernel: "shared", wgsl, block: new DataView(new ArrayBuffer(0)), grid: [1, 1, 1], bound: new Map() });
	};

	test.each([
		["of words side by side", "tile[lane] = 1.0;", "f32", 1, 1],
		["of one word, which all have at once", "let x = tile[7];", "f32", 1, 1],
		["of words in one bank, one after the other", "let x = tile[32u * lane];", "f32", 1, 32],
		["of every other word, two in a bank", "let x = tile[2u * lane];", "f32", 1, 2],
		["of fours side by side", "tile[lane] = vec4f();", "vec4f", 1, 4],
		["of fours that 16 invocations have in common", "let x = tile[lane / 16u];", "vec4f", 1, 1],
		["in a loop", "for (var i = 0u; i < 200u; i++) { let x = tile[32u * lane]; }", "f32", 200, 6400],
	])("shared memory takes a clock for each word in a bank: %s", (_, body, type, accesses, clocks) => {
		const { total } = workOfShared(body, type);
		expect([total.sharedAccesses, total.wavefronts]).toEqual([accesses, clocks]);
	});

	test("loops that count to a number are unrolled: no branch, no wait between turns, and literal places cost nothing", () => {
		const loop = (end: string) => `var n = 16u; for (var s = 0u; s < ${end}; s++) { let x = tile[s * 64u + lane]; }`;
		const [unrolled, turned] = [workOfShared(loop("16u")).total, workOfShared(loop("n")).total];
		expect([unrolled.branch, unrolled.sharedWaits, unrolled.integer]).toEqual([0, 1, 0]);
		expect([turned.branch, turned.sharedWaits]).toEqual([16, 16]);
		expect(turned.integer).toBeGreaterThan(16);
		expect(unrolled.sharedAccesses).toBe(turned.sharedAccesses);
	});

	test("WGSL that is not known is refused, not counted as nothing", () => {
		expect(() => compile("@compute @workgroup_size(1) fn main() { let x = mystery(1.0); }")).toThrow("function mystery is not known");
	});
});

/** Shapes among the parameters: whole numbers, but for the one that stands for a name. */
const isShape = ({ name, type }: { readonly name: string; readonly type: string }): boolean =>
	type !== "f32" && name !== "id" && !name.endsWith("_base");

test.each([false, true])("a dry step records what a real one runs (plain: %s)", async (plain) => {
	const subject: Subject = { config: configOf("tiny"), batch: 2, length: 8, plain };
	const { maxBufferSize, maxStorageBufferBindingSize } = real.gpu.limits;
	const step = training(real, subject, "random")();
	await step();
	const { recorder } = runtimeOf(real);
	const dispatch = recorder.dispatch.bind(recorder);
	const seen: unknown[] = [];
	recorder.dispatch = (d) => {
		const { key, params } = d.pipeline;
		seen.push([key, d.grid, d.params.filter((_, i) => isShape({ name: params[i][0], type: params[i][1] }))]);
		dispatch(d);
	};
	await step();
	recorder.dispatch = dispatch;
	const limits = { maxBufferSize, maxStorageBufferBindingSize };
	const same = { name: "", plan: real.plan, features: [...real.gpu.features], subgroup: real.info.subgroupMinSize, limits };
	const { dispatches } = await recordStep({ adapter: same }, subject);
	const recorded = dispatches.map(({ kernel, grid, wgsl, block }) => {
		const params = compile(wgsl).params.flatMap((p, i) =>
			isShape(p) ? [p.type === "i32" ? block.getInt32(4 * i, true) : block.getUint32(4 * i, true)] : [],
		);
		return [kernel, grid, params];
	});
	expect(seen.length).toBeGreaterThan(50);
	expect(recorded).toEqual(seen);
});

test("a layer of the 1B takes at most 40 kernels in a private step of 8 texts on a GPU, forward and backward, and 14 in a token", async () => {
	const machine = machineOf("h100");
	const of = (layers: number) => ({
		...configOf("vaultgemma-1b"),
		...{ num_hidden_layers: layers, layer_types: Array(layers).fill("full_attention"), vocab_size: 512 },
	});
	const steps = [2, 3].map((n) => recordStep(machine, { config: of(n), batch: 8, length: 128, plain: false }));
	const tokens = [2, 3].map((n) => recordToken(machine, of(n), 128));
	const [[less, more], [fewer, further]] = await Promise.all([Promise.all(steps), Promise.all(tokens)]);
	expect(more.dispatches.length - less.dispatches.length).toBeLessThanOrEqual(40);
	expect(further.dispatches.length - fewer.dispatches.length).toBeLessThanOrEqual(14);
});

describe("predictions", () => {
	const { units, clock, memory, launch } = FIGURES.h100;

	test("a large copy takes its bytes at the rate of the memory", async () => {
		const n = 2 ** 26;
		const works = await workOf((make) => mul(make(n), make(n)));
		const { milliseconds, bound, busy } = machineOf("h100").predict(works[0]);
		expect([bound, busy]).toEqual(["memory", 1]);
		expect(milliseconds).toBeCloseTo(launch / 1000 + (12 * n) / (memory * 1e6), 6);
	});

	test("a product is not faster than its FLOPs allow, and a small one leaves units empty", async () => {
		const machine = machineOf("h100");
		const [large] = await workOf((make) => matmul(make(1024, 1024), make(1024, 1024)));
		expect(machine.predict(large).milliseconds).toBeGreaterThan((2 * 1024 ** 3) / (2 * 128 * units * clock * 1e6));
		const [small] = await workOf((make) => matmul(make(8, 1024), make(1024, 8)));
		expect(machine.predict(small).busy).toBeLessThan(0.5);
	});

	test("rows of a report add up to the whole", async () => {
		const machine = machineOf("m2");
		const { dispatches } = await recordStep(machine, { config: configOf("tiny"), batch: 1, length: 8, plain: true });
		const all = costed(machine, dispatches);
		const rows = rowsBy(all, (c) => c.work.kernel);
		const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);
		expect(sum(rows.map((r) => r.calls))).toBe(dispatches.length);
		expect(sum(rows.map((r) => r.milliseconds))).toBeCloseTo(sum(all.map((c) => c.prediction.milliseconds)), 9);
	});

	test("an adapter that there are no figures of is refused with the names there are", () => {
		expect(() => machineOf("b200")).toThrow("one of h100, h200, rtx4060, m2, intel-xe, or this");
	});

	test("costs that explain probes are found, none below 0", () => {
		const rows = [
			[1, 0, 2],
			[0, 1, 0],
			[3, 1, 0],
			[1, 4, 1],
		];
		const truth = [0.2, 0.5, 0.1];
		const relative = rows.map((r) => {
			const time = r.reduce((sum, v, i) => sum + v * truth[i], 0);
			return r.map((v) => v / time);
		});
		for (const [i, cost] of nonNegative(relative).entries()) expect(cost).toBeCloseTo(truth[i], 6);
	});
});
