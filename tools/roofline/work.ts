import type { Dispatch } from "./dryDevice.ts";
import { type CostProgram, compile, type Place } from "./wgsl/compile.ts";
import { INSTRUCTIONS, type Instructions, NO_INSTRUCTIONS } from "./wgsl/instructions.ts";

/** What subgroups of a dispatch do, summed over all of them. */
export interface SubgroupWork extends Instructions {
	/** Subgroups in which at least one invocation reads or writes memory. */
	subgroups: number;
	/** Accesses to memory: one a subgroup, whatever its lanes ask for. */
	accesses: number;
	/** Components that they read, and that they write, as vectors of a subgroup: 4 for a vec4. */
	loads: number;
	stores: number;
	/** Lines of 128 bytes that they touch: 1 an access where all lanes want the same, up to one a lane. */
	lines: number;
	/** Lines that a subgroup touches for the first time. */
	coldLines: number;
	/** Accesses to memory that the workgroup shares, and clocks that they take: of the words in one bank, one a clock. */
	sharedAccesses: number;
	wavefronts: number;
	/** Times that a subgroup waits for such an access. */
	sharedWaits: number;
	/** Times that a subgroup waits for what it reads, one after the other. */
	waits: number;
	/** Those among them that wait for a line which the subgroup has not had yet. */
	coldWaits: number;
}

/** What one dispatch does. */
export interface Work {
	readonly kernel: string;
	readonly workgroups: number;
	/** Invocations of a workgroup. */
	readonly lanes: number;
	/** Floating-point operations of all invocations. */
	readonly flops: number;
	/** Bytes of memory read and written: what all invocations ask for, each place counted once. */
	readonly read: number;
	readonly written: number;
	/** The sum over all subgroups. */
	readonly total: SubgroupWork;
	/** The subgroup that does most, by itself. */
	readonly longest: SubgroupWork;
}

const LINE = 128;
/** Workgroups that are run for their cost: the first, the last, and some in between that stand for the others. */
const SAMPLES = 10;
/** Accesses of a site whose lines are looked at, in each subgroup. */
const LOOKED_AT = 64;

const SUBGROUP: SubgroupWork = {
	...NO_INSTRUCTIONS,
	subgroups: 0,
	accesses: 0,
	loads: 0,
	stores: 0,
	lines: 0,
	coldLines: 0,
	sharedAccesses: 0,
	wavefronts: 0,
	sharedWaits: 0,
	waits: 0,
	coldWaits: 0,
};
const FIELDS = Object.keys(SUBGROUP) as readonly (keyof SubgroupWork)[];

/** Costs of dispatches, for subgroups of `width` invocations. Equal dispatches are run once. */
export class Workings {
	readonly #width: number;
	readonly #programs = new Map<string, CostProgram>();
	readonly #known = new Map<string, Work>();

	constructor(width: number) {
		this.#width = width;
	}

	/** What tells dispatches of a kernel apart for people: rows x inner x columns of a product, and the number of workgroups. */
	shapeOf({ wgsl, block, grid }: Dispatch): string {
		const program = this.#programs.get(wgsl);
		const { M, N, K } = program === undefined ? {} : paramsOf(program, block);
		const groups = `${grid[0] * grid[1] * grid[2]} groups`;
		return M === undefined || N === undefined || K === undefined ? groups : `${M}x${K}x${N}, ${groups}`;
	}

	/** @throws Error naming the kernel, for WGSL that is not known here. */
	of({ kernel, wgsl, block, grid }: Dispatch): Work {
		let program = this.#programs.get(wgsl);
		try {
			program ??= compile(wgsl);
			this.#programs.set(wgsl, program);
			const params = paramsOf(program, block);
			const key = `${wgsl}|${JSON.stringify(params)}|${grid}`;
			const work = this.#known.get(key) ?? run(kernel, program, params, grid, this.#width);
			this.#known.set(key, work);
			return work;
		} catch (error) {
			throw new Error(`kernel ${kernel}: ${(error as Error).message}`);
		}
	}
}

/** The parameters but for where views begin, which changes no cost. */
export function paramsOf({ params }: Pick<CostProgram, "params">, block: DataView): Readonly<Partial<Record<string, number>>> {
	const read = (type: string, at: number): number =>
		type === "f32" ? block.getFloat32(at, true) : type === "i32" ? block.getInt32(at, true) : block.getUint32(at, true);
	return Object.fromEntries(params.map(({ name, type }, i) => [name, name.endsWith("_base") ? 0 : read(type, 4 * i)]));
}

/** Multiples of it, but for their whole parts, lie evenly, and in step with no axis of a grid whose workgroups differ by their place. */
const GOLDEN = (1 + Math.sqrt(5)) / 2;

/** Numbers of the workgroups to run, and how many each stands for. */
function samplesOf(count: number): [group: number, weight: number][] {
	if (count <= SAMPLES) return Array.from({ length: count }, (_, i) => [i, 1]);
	const between = SAMPLES - 2;
	const rest = Array.from({ length: between }, (_, i): [number, number] => [
		1 + Math.floor(((i * GOLDEN) % 1) * (count - 2)),
		(count - 2) / between,
	]);
	return [[0, 1], ...rest, [count - 1, 1]];
}

/** Workgroups but for those at the end that have nothing to do: a grid of two axes may exceed what it is for. */
function busyGroups(count: number, isBusy: (number: number) => boolean): number {
	if (isBusy(count - 1)) return count;
	let [low, high] = [0, count - 1];
	while (low < high) {
		const middle = (low + high) >> 1;
		if (isBusy(middle)) low = middle + 1;
		else high = middle;
	}
	return Math.max(1, low);
}

const BANKS = 32;

/** Accesses of a site of shared memory by the invocations of one subgroup. */
class BankLog {
	readonly #words: number;
	/** Words by the number of the access, of the first ones. */
	readonly #byTurn: Set<number>[] = [];
	#turn = 0;
	/** Most accesses of one lane. */
	turns = 0;

	constructor(bytes: number) {
		this.#words = bytes / 4;
	}

	nextLane(): void {
		this.#turn = 0;
	}

	touch(element: number): void {
		const turn = this.#turn++;
		if (turn >= this.turns) this.turns = turn + 1;
		if (turn >= LOOKED_AT) return;
		this.#byTurn[turn] ??= new Set();
		for (let i = 0; i < this.#words; i++) this.#byTurn[turn].add(element * this.#words + i);
	}

	/** Clocks of all accesses: in each as many as the bank has words that most are asked of. What was looked at stands for the rest. */
	get wavefronts(): number {
		let clocks = 0;
		for (const turn of this.#byTurn) {
			const banks = new Float64Array(BANKS);
			for (const word of turn) banks[word % BANKS]++;
			clocks += Math.max(...banks);
		}
		return this.#byTurn.length === 0 ? 0 : (clocks * this.turns) / this.#byTurn.length;
	}
}

/** Accesses of a site by the invocations of one subgroup. */
class SiteLog {
	readonly #size: number;
	/** Lines by the number of the access, of the first ones. */
	readonly #byTurn: Set<number>[] = [];
	#turn = 0;
	/** Most accesses of one lane. */
	turns = 0;
	/** Accesses of all lanes. */
	asked = 0;

	constructor(size: number) {
		this.#size = size;
	}

	nextLane(): void {
		this.#turn = 0;
	}

	touch(element: number): void {
		const line = Math.floor((element * this.#size) / LINE);
		const turn = this.#turn++;
		this.asked++;
		if (turn >= this.turns) this.turns = turn + 1;
		if (turn >= LOOKED_AT) return;
		this.#byTurn[turn] ??= new Set();
		this.#byTurn[turn].add(line);
	}

	/** Lines of all accesses; those not touched before, and the turns with such a line: what was looked at stands for the rest. */
	lines(): { readonly lines: number; readonly cold: number; readonly coldTurns: number } {
		const seen = new Set<number>();
		let [lines, coldTurns] = [0, 0];
		for (const turn of this.#byTurn) {
			const before = seen.size;
			for (const line of turn) seen.add(line);
			lines += turn.size;
			if (seen.size > before) coldTurns++;
		}
		const scale = this.#byTurn.length === 0 ? 0 : this.turns / this.#byTurn.length;
		return { lines: lines * scale, cold: seen.size * scale, coldTurns: coldTurns * scale };
	}
}

function run(
	kernel: string,
	program: CostProgram,
	params: Readonly<Partial<Record<string, number>>>,
	grid: readonly [number, number, number],
	width: number,
): Work {
	const [sx, sy, sz] = program.workgroup;
	const lanes = sx * sy * sz;
	const workgroups = grid[0] * grid[1] * grid[2];
	const total = { ...SUBGROUP };
	let longest = { ...SUBGROUP };
	let flops = 0;
	const span = program.sites.map(() => ({ low: Number.POSITIVE_INFINITY, high: -1, asked: 0 }));
	const blocks = new Float64Array(program.blocks.length);
	const placeOf = (number: number): Place["group"] => [
		number % grid[0],
		Math.floor(number / grid[0]) % grid[1],
		Math.floor(number / (grid[0] * grid[1])),
	];
	const isBusy = (number: number): boolean => {
		let touched = false;
		const touch = (): void => {
			touched = true;
		};
		program.run({ blocks, touch, turn: 0 }, params, { group: placeOf(number), groups: grid, local: [0, 0, 0], lane: 0, width });
		return touched;
	};
	const busy = busyGroups(workgroups, isBusy);
	for (const [number, weight] of samplesOf(busy)) {
		const group = placeOf(number);
		for (let first = 0; first < lanes; first += width) {
			const most = new Float64Array(program.blocks.length);
			const logs = program.sites.map(({ bytes }) => new SiteLog(bytes));
			const banks = program.sites.map(({ bytes }) => new BankLog(bytes));
			let [waits, mostWaits, last] = [0, 0, -1];
			let [sharedWaits, mostShared, lastShared] = [0, 0, -1];
			const touch = (site: number, element: number): void => {
				if (program.sites[site].access === "shared") {
					banks[site].touch(element);
					if (trace.turn !== lastShared) {
						lastShared = trace.turn;
						sharedWaits++;
					}
					return;
				}
				logs[site].touch(element);
				if (program.sites[site].access === "read" && trace.turn !== last) {
					last = trace.turn;
					waits++;
				}
				const s = span[site];
				s.low = Math.min(s.low, element);
				s.high = Math.max(s.high, element);
			};
			const trace = { blocks, touch, turn: 0 };
			for (let lane = first; lane < Math.min(lanes, first + width); lane++) {
				blocks.fill(0);
				[waits, last] = [0, -1];
				[sharedWaits, lastShared] = [0, -1];
				for (const log of [...logs, ...banks]) log.nextLane();
				const local: Place["local"] = [lane % sx, Math.floor(lane / sx) % sy, Math.floor(lane / (sx * sy))];
				program.run(trace, params, { group, groups: grid, local, lane, width });
				mostWaits = Math.max(mostWaits, waits);
				mostShared = Math.max(mostShared, sharedWaits);
				for (const [b, runs] of blocks.entries()) {
					most[b] = Math.max(most[b], runs);
					flops += weight * runs * program.blocks[b].flops;
				}
			}
			const own = { ...subgroup(program, most, logs, mostWaits), sharedWaits: mostShared };
			for (const bank of banks) {
				own.sharedAccesses += bank.turns;
				own.wavefronts += bank.wavefronts;
			}
			for (const f of FIELDS) total[f] += weight * own[f];
			if (own.float + own.integer + own.accesses > longest.float + longest.integer + longest.accesses) longest = own;
			for (const [s, log] of logs.entries()) span[s].asked += weight * log.asked;
		}
	}
	const bytes = (access: "read" | "write"): number => {
		const byBinding = new Map<number, { asked: number; low: number; high: number }>();
		for (const [i, site] of program.sites.entries()) {
			const { low, high, asked } = span[i];
			if (site.access !== access || asked === 0) continue;
			const b = byBinding.get(site.binding) ?? { asked: 0, low: Number.POSITIVE_INFINITY, high: -1 };
			b.asked += asked * site.bytes;
			b.low = Math.min(b.low, low * site.bytes);
			b.high = Math.max(b.high, (high + 1) * site.bytes);
			byBinding.set(site.binding, b);
		}
		return [...byBinding.values()].reduce((sum, b) => sum + Math.min(b.asked, b.high - b.low), 0);
	};
	return { kernel, workgroups, lanes, flops, read: bytes("read"), written: bytes("write"), total, longest };
}

/** What a subgroup does: each block as often as in the lane that runs it most, since the others wait. */
function subgroup(program: CostProgram, most: Float64Array, logs: readonly SiteLog[], waits: number): SubgroupWork {
	const own = { ...SUBGROUP, waits };
	for (const [b, runs] of most.entries()) for (const f of INSTRUCTIONS) own[f] += runs * program.blocks[b][f];
	for (const [s, log] of logs.entries()) {
		const { bytes, access } = program.sites[s];
		if (access === "shared") continue;
		const components = Math.max(1, bytes / 4);
		const { lines, cold, coldTurns } = log.lines();
		own.accesses += log.turns;
		own[access === "read" ? "loads" : "stores"] += log.turns * components;
		own.lines += lines;
		own.coldLines += cold;
		if (access === "read") own.coldWaits = Math.min(waits, Math.max(own.coldWaits, coldTurns));
	}
	own.subgroups = logs.some((l) => l.turns > 0) ? 1 : 0;
	return own;
}
