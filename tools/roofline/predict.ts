import type { DryAdapter } from "./dryDevice.ts";
import type { SubgroupWork, Work } from "./work.ts";

/** How long a dispatch takes, and what that is for. */
export interface Prediction {
	readonly milliseconds: number;
	/** What takes the longest: the resource that a change has to spare. */
	readonly bound: string;
	/** The share of the units that have a workgroup. */
	readonly busy: number;
	/** Milliseconds that operations and bytes alone would take, at the public peaks: the roofline proper. */
	readonly ideal: number;
}

/** What predictions are made for. */
export interface Machine {
	/** Its limits, as far as a program sees them. */
	readonly adapter: DryAdapter;
	/** Invocations that run in step. */
	readonly width: number;
	predict(work: Work): Prediction;
}

/** Figures of a graphics processor. Clocks count for each unit: a multiprocessor, a core, a subslice. */
export interface Figures {
	readonly name: string;
	/** As Dawn names them: the library picks tiles by that. */
	readonly vendor: string;
	readonly architecture: string;
	/** Units, each with lanes and a first cache of its own. */
	readonly units: number;
	/** 10^9 clocks a second. */
	readonly clock: number;
	/** Invocations that run in step. */
	readonly width: number;
	/** Lanes of a unit that do an operation on floats, on integers, or a division, root or the like, each clock. */
	readonly floatLanes: number;
	readonly integerLanes: number;
	readonly specialLanes: number;
	/** Subgroups whose next instruction a unit starts each clock. */
	readonly issue: number;
	/** Subgroups that a unit holds at once, at 64 registers an invocation. */
	readonly resident: number;
	/** 10^9 bytes a second from memory, and from the cache that all units share. */
	readonly memory: number;
	readonly cache: number;
	/** Lines of 128 bytes that the first cache of a unit finds each clock. */
	readonly lines: number;
	/** Clocks until what is read has come: from the first cache, and from beyond it. */
	readonly nearLatency: number;
	readonly farLatency: number;
	/** Share of the rates of lanes, instructions and first cache that kernels from WGSL attain. */
	readonly attained: number;
	/** Microseconds from the end of a dispatch to the beginning of the next, which waits for it. */
	readonly launch: number;
	/** Largest binding and largest buffer, in bytes. */
	readonly largest: number;
	/** Where the figures are from. */
	readonly sources: readonly string[];
}

/** Clocks between an instruction and one that needs its result, shared by two that do not wait for each other. */
const DEPENDENT = 2;
/** Instructions that a whole division is made of, where there is no unit for it. */
const WHOLE_DIVISION = 20;
const LINE = 128;

const LIMITS = { maxStorageBuffersPerShaderStage: 10, maxComputeInvocationsPerWorkgroup: 256, maxComputeWorkgroupStorageSize: 32768 };

/**
 * A graphics processor by its public figures. A dispatch takes its launch and the longest of: its bytes at the rate of the memory;
 * what subgroups read for the first time at the rate of the shared cache; on the unit with the most workgroups, instructions at the
 * rate of each kind of lanes and lines of the first cache at one a clock; and the longest subgroup by itself, instruction after
 * instruction, as often as subgroups have to wait for a place.
 */
export function graphicsProcessor(figures: Figures): Machine {
	const { name, vendor, architecture, units, clock, width, largest, launch } = figures;
	const limits = { ...LIMITS, maxBufferSize: largest, maxStorageBufferBindingSize: largest };
	const perClock = 1e-6 / clock;
	return {
		adapter: { name, vendor, architecture, limits, features: ["timestamp-query"] },
		width,
		predict: (work) => {
			const busy = Math.min(1, work.workgroups / units);
			const most = Math.ceil(work.workgroups / units);
			const times: Record<string, number> = {
				memory: (work.read + work.written) / (figures.memory * 1e6),
				"shared cache": (work.total.coldLines * LINE) / (figures.cache * busy * 1e6),
				latency: perClock * chainOf(figures, work.longest) * Math.ceil((most * Math.ceil(work.lanes / width)) / figures.resident),
			};
			for (const [kind, clocks] of Object.entries(clocksOf(figures, work.total))) {
				times[kind] = (perClock * clocks * most) / work.workgroups / figures.attained;
			}
			const [bound, longest] = Object.entries(times).reduce((a, b) => (b[1] > a[1] ? b : a));
			const start = launch / 1000;
			const peak = 2 * units * figures.floatLanes * clock * 1e6;
			return {
				milliseconds: start + longest,
				bound: start > longest ? "launch" : bound,
				busy,
				ideal: Math.max(work.flops / peak, (work.read + work.written) / (figures.memory * 1e6)),
			};
		},
	};
}

/** The figures with each of those that are assumed changed, by words for the change. */
export function otherwise(figures: Figures): readonly (readonly [change: string, figures: Figures])[] {
	const { attained, launch, cache, lines, nearLatency, farLatency, resident } = figures;
	const latency = (factor: number): Figures => ({ ...figures, nearLatency: nearLatency * factor, farLatency: farLatency * factor });
	return [
		["all of the public rates attained", { ...figures, attained: 1 }],
		["half of the attained share", { ...figures, attained: attained / 2 }],
		["half of the launch", { ...figures, launch: launch / 2 }],
		["twice the launch", { ...figures, launch: 2 * launch }],
		["half of the latencies", latency(0.5)],
		["twice the latencies", latency(2)],
		["half of the shared cache's rate", { ...figures, cache: cache / 2 }],
		["twice the shared cache's rate", { ...figures, cache: 2 * cache }],
		["four times the lines a clock", { ...figures, lines: 4 * lines }],
		["half of the resident subgroups", { ...figures, resident: resident / 2 }],
	];
}

/** Clocks of a unit that does this work alone, by what they go to. */
function clocksOf(
	{ width, floatLanes, integerLanes, specialLanes, issue, lines: perClock }: Figures,
	work: SubgroupWork,
): Record<string, number> {
	const { float, integer, divide, special, branch, accesses, lines, shared, sharedAccesses, wavefronts } = work;
	const integers = integer + WHOLE_DIVISION * divide;
	return {
		floats: (float * width) / floatLanes,
		integers: (integers * width) / integerLanes,
		divisions: (special * width) / specialLanes,
		instructions: (float + integers + special + branch + accesses + shared + sharedAccesses) / issue,
		"first cache": Math.max(accesses, lines / perClock) + shared + wavefronts,
	};
}

/** Clocks of the longest subgroup when nothing else runs. */
function chainOf({ nearLatency, farLatency }: Figures, work: SubgroupWork): number {
	const { float, integer, divide, special, branch, shared, sharedWaits, barrier, waits, coldWaits } = work;
	const instructions = float + integer + WHOLE_DIVISION * divide + 4 * special + branch;
	return DEPENDENT * instructions + nearLatency * (waits + shared + sharedWaits + barrier) + (farLatency - nearLatency) * coldWaits;
}

/** What a processor that plays a GPU needs time for, in nanoseconds of one of its cores. */
export interface Costs {
	readonly dispatch: number;
	readonly workgroup: number;
	readonly subgroup: number;
	readonly float: number;
	readonly integer: number;
	readonly divide: number;
	readonly special: number;
	readonly branch: number;
	readonly carried: number;
	/** Values that the invocations of a subgroup exchange. */
	readonly shared: number;
	/** Accesses to memory, and numbers that they read and write. */
	readonly access: number;
	readonly load: number;
	readonly store: number;
	readonly bulk: number;
	readonly byte: number;
}

/** How much of each a dispatch needs, for subgroups of `width` invocations. */
export function amountsOf({ workgroups, lanes, read, written, total }: Work, width: number): Costs {
	return {
		dispatch: 1,
		workgroup: workgroups,
		subgroup: workgroups * Math.ceil(lanes / width),
		float: total.float,
		integer: total.integer,
		divide: total.divide,
		special: total.special,
		branch: total.branch,
		carried: total.carried,
		shared: total.shared,
		access: total.accesses,
		load: total.loads,
		store: total.stores,
		bulk: total.bulk,
		byte: read + written,
	};
}

/** A device whose costs were measured: a dispatch takes the sum of what it needs. */
export function measuredDevice(adapter: DryAdapter, width: number, costs: Costs): Machine {
	return {
		adapter,
		width,
		predict: (work) => {
			const amounts = amountsOf(work, width);
			const times = Object.entries(amounts).map(([kind, amount]): [string, number] => [kind, (amount * costs[kind as keyof Costs]) / 1e6]);
			const [bound] = times.reduce((a, b) => (b[1] > a[1] ? b : a));
			const milliseconds = times.reduce((sum, [, ms]) => sum + ms, 0);
			const flopTime = (amounts.float * costs.float) / 1e6;
			return { milliseconds, bound, busy: 1, ideal: Math.max(flopTime, (amounts.byte * costs.byte) / 1e6) };
		},
	};
}
