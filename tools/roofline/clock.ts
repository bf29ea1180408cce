import { readdirSync, readFileSync } from "node:fs";
import type { Device } from "@hushgrad/tensor";
import { isSoftware } from "@hushgrad/tensor/author";

const TASKS = "/proc/self/task";

function tasks(): string[] {
	try {
		return readdirSync(TASKS);
	} catch {
		return [];
	}
}

/** Nanoseconds that a thread of this process has run; 0 when it has ended. */
function ran(task: string): number {
	try {
		return Number(readFileSync(`${TASKS}/${task}/schedstat`, "utf8").split(" ")[0]);
	} catch {
		return 0;
	}
}

/**
 * Processor time of the threads that a driver starts, on Linux: of a driver that computes on the processor this is its work,
 * whatever else the machine does. Made before the device.
 */
export class DriverClock {
	readonly #before = new Set(tasks());
	#threads: readonly string[] = [];

	/** Takes the threads that have come since for the driver's. Call it when the device has run something. */
	begin(): void {
		this.#threads = tasks().filter((t) => !this.#before.has(t));
	}

	/** Milliseconds that they have run; NaN where the system does not tell. */
	get ms(): number {
		return this.#threads.length === 0 ? Number.NaN : this.#threads.reduce((sum, t) => sum + ran(t), 0) / 1e6;
	}
}

/** A clock for work on a device. */
export interface Stopwatch {
	/** Milliseconds that `body` keeps it busy: processor time of a driver that computes on the processor, else time that passes. */
	readonly time: (body: () => unknown) => Promise<number>;
	/** Which of the two. */
	readonly isProcessorTime: boolean;
}

/** The clock for work on a device, of whose driver `clock` has begun to see the threads. */
export function stopwatchOf(device: Device, clock: DriverClock): Stopwatch {
	const isProcessorTime = isSoftware(device.info) && !Number.isNaN(clock.ms);
	const now = isProcessorTime ? () => clock.ms : () => performance.now();
	return {
		isProcessorTime,
		time: async (body) => {
			const start = now();
			await body();
			await device.flush();
			return now() - start;
		},
	};
}

export function medianOf(values: readonly number[]): number {
	const sorted = [...values].sort((a, b) => a - b);
	return (sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2;
}
