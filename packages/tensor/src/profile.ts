import type { KernelEvent } from "./gpu/profiler.ts";

export type { KernelEvent, Work } from "./gpu/profiler.ts";

/** All dispatches of one kernel. */
export interface KernelTotal {
	/** Name of the kernel, with its variant: "gemm/k/n/f32/f32". */
	readonly kernel: string;
	/** Number of dispatches. */
	readonly calls: number;
	/** Time of all dispatches together. */
	readonly milliseconds: number;
	/** 10^9 floating-point operations a second, over all calls; undefined where the kernel's caller gives no number of them. */
	readonly gflops: number | undefined;
	/**
	 * 10^9 bytes a second, over all calls, counting every operand and result once: caches may make it more than the memory can
	 * do. undefined where it is not known.
	 */
	readonly gigabytes: number | undefined;
}

/** What the GPU did while a function ran: the result of `device.profile(fn)`. */
export class Profile {
	/** Every dispatch, in the order they were recorded. */
	readonly events: readonly KernelEvent[];

	constructor(events: readonly KernelEvent[]) {
		this.events = events;
	}

	/** Milliseconds that all dispatches took together; pauses between them do not count. */
	get milliseconds(): number {
		return this.events.reduce((sum, e) => sum + e.duration, 0) / 1e6;
	}

	/** Kernels by the time they took, the longest first. */
	kernels(): KernelTotal[] {
		const groups = new Map<string, KernelEvent[]>();
		for (const e of this.events) groups.set(e.kernel, [...(groups.get(e.kernel) ?? []), e]);
		return [...groups].map(([kernel, list]) => total(kernel, list)).sort((a, b) => b.milliseconds - a.milliseconds);
	}

	/** The kernels as a text table with columns kernel, calls, ms, GFLOP/s, GB/s; a rate that is not known is left blank. */
	table(): string {
		const rate = (v: number | undefined): string => (v === undefined ? "" : v.toFixed(2));
		const rows = this.kernels().map((k) => [k.kernel, String(k.calls), k.milliseconds.toFixed(3), rate(k.gflops), rate(k.gigabytes)]);
		const all = [["kernel", "calls", "ms", "GFLOP/s", "GB/s"], ...rows];
		const widths = all[0].map((_, i) => Math.max(...all.map((r) => r[i].length)));
		return all.map((r) => r.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]) : cell.padStart(widths[i]))).join("  ")).join("\n");
	}

	/** The events as JSON in Chrome's trace format, for chrome://tracing and Perfetto; `args.module` is the path. */
	chromeTrace(): string {
		const traceEvents = this.events.map(({ kernel, path, start, duration, flops, bytes }) => ({
			name: kernel,
			cat: "gpu",
			ph: "X",
			pid: 1,
			tid: 1,
			ts: start / 1e3,
			dur: duration / 1e3,
			args: { module: path, flops, bytes },
		}));
		return JSON.stringify({ displayTimeUnit: "ms", traceEvents });
	}
}

function total(kernel: string, events: readonly KernelEvent[]): KernelTotal {
	const nanoseconds = events.reduce((sum, e) => sum + e.duration, 0);
	const rate = (pick: (e: KernelEvent) => number | undefined): number | undefined => {
		const known = events.map(pick).filter((v): v is number => v !== undefined);
		return known.length === 0 || nanoseconds === 0 ? undefined : known.reduce((a, b) => a + b, 0) / nanoseconds;
	};
	return {
		kernel,
		calls: events.length,
		milliseconds: nanoseconds / 1e6,
		gflops: rate((e) => e.flops),
		gigabytes: rate((e) => e.bytes),
	};
}
