import type { KernelEvent } from "./gpu/profiler.ts";

export type { KernelEvent, Work } from "./gpu/profiler.ts";

/** All dispatches of one kernel. */
export interface KernelTotal {
	readonly kernel: string;
	readonly calls: number;
	readonly milliseconds: number;
	/** Achieved rates; undefined where the work is not known. */
	readonly gflops: number | undefined;
	readonly gigabytes: number | undefined;
}

/** What the GPU did while a function ran. */
export class Profile {
	readonly events: readonly KernelEvent[];

	constructor(events: readonly KernelEvent[]) {
		this.events = events;
	}

	/** Milliseconds the GPU was busy. */
	get milliseconds(): number {
		return this.events.reduce((sum, e) => sum + e.duration, 0) / 1e6;
	}

	/** Kernels by the time they took, the longest first. */
	kernels(): KernelTotal[] {
		const groups = new Map<string, KernelEvent[]>();
		for (const e of this.events) groups.set(e.kernel, [...(groups.get(e.kernel) ?? []), e]);
		return [...groups].map(([kernel, list]) => total(kernel, list)).sort((a, b) => b.milliseconds - a.milliseconds);
	}

	/** The kernels as a text table. */
	table(): string {
		const rate = (v: number | undefined): string => (v === undefined ? "" : v.toFixed(2));
		const rows = this.kernels().map((k) => [k.kernel, String(k.calls), k.milliseconds.toFixed(3), rate(k.gflops), rate(k.gigabytes)]);
		const all = [["kernel", "calls", "ms", "GFLOP/s", "GB/s"], ...rows];
		const widths = all[0].map((_, i) => Math.max(...all.map((r) => r[i].length)));
		return all.map((r) => r.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]) : cell.padStart(widths[i]))).join("  ")).join("\n");
	}

	/** The events in Chrome's trace format, for chrome://tracing and Perfetto. */
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
