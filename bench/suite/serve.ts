import { DriverClock } from "../../tools/roofline/clock.ts";
import { mainThreadMs } from "../support/counters.ts";
import { drawn } from "./draw.ts";
import type { Cost, Description, Replies, Reply, Request } from "./protocol.ts";
import type { Attrs, Row } from "./row.ts";

/** One run of a row: gives its outputs, which the caller releases when they were computed. A training step is awaited and gives none. */
export type Run<T> = () => readonly T[] | Promise<readonly T[]>;

/** A program of a library: from inputs on the GPU to what is run. */
export interface Program<T> {
	readonly run: Run<T>;
	/** Gives up what runs made beside their outputs, when it was computed: what is given up before is not computed. */
	readonly release?: () => void;
	/** Gives up what it made for itself. */
	readonly dispose?: () => void;
	/** Calls into WebGPU so far. */
	readonly counts?: () => Readonly<Record<string, number>>;
	/** What is compared, where it is not what a run gives. */
	readonly outputs?: () => Promise<Float32Array[]>;
	/** Costs of a run that is a process of its own. */
	readonly ownCost?: () => Promise<Cost>;
}
export type Maker<T> = (inputs: Readonly<Record<string, T>>, attrs: Attrs) => Run<T> | Program<T> | Promise<Run<T> | Program<T>>;

/** A library as the suite sees it; T is its tensor. */
export interface Library<T> {
	readonly description: Description;
	upload(values: Float32Array | Int32Array, shape: readonly number[]): T | Promise<T>;
	/** Its programs, by the name of the work. */
	readonly programs: Readonly<Record<string, Maker<T>>>;
	/** Why it has no program for a work. */
	cannot(work: string): string;
	/** Waits until the GPU has done all that was asked. */
	wait(): Promise<void>;
	read(tensor: T): Promise<Float32Array>;
	release(tensors: readonly T[]): void;
}

/** Thrown by a program that a library turns out not to have: no failure. */
export class Cannot extends Error {}

const MOST_RUNS = 400;

class Prepared<T> {
	readonly #library: Library<T>;
	readonly #clock: DriverClock;
	readonly #program: Program<T>;
	readonly #inputs: readonly T[];
	#runs = 1;

	constructor(library: Library<T>, clock: DriverClock, program: Program<T>, inputs: readonly T[]) {
		this.#library = library;
		this.#clock = clock;
		this.#program = program;
		this.#inputs = inputs;
	}

	async sample(): Promise<Cost> {
		if (this.#program.ownCost !== undefined) return this.#program.ownCost();
		const runs = this.#runs;
		const { run } = this.#program;
		const [gpu, main, wall] = [this.#clock.ms, mainThreadMs(), performance.now()];
		const results: T[] = [];
		for (let i = 0; i < runs; i++) {
			const outputs = run();
			results.push(...(outputs instanceof Promise ? await outputs : outputs));
		}
		const host = mainThreadMs() - main;
		await this.#library.wait();
		const passed = performance.now() - wall;
		this.#library.release(results);
		this.#program.release?.();
		return { wall: passed / runs, gpu: (this.#clock.ms - gpu) / runs, host: host / runs, runs };
	}

	/**
	 * Makes a sample as many runs as take so many milliseconds, by the quickest of at least two samples: what a sample waits once is a part
	 * of each of its runs, so that all contenders' samples have to be as long; and of the first runs some are slow.
	 */
	async fill(sampleMs: number): Promise<void> {
		let wall = Number.POSITIVE_INFINITY;
		for (let enough = 0; enough < 2; ) {
			wall = Math.min(wall, (await this.sample()).wall);
			const wanted = Math.min(MOST_RUNS, Math.ceil(sampleMs / wall));
			enough = wanted > this.#runs ? 0 : enough + 1;
			this.#runs = Math.max(this.#runs, wanted);
		}
	}

	async outputs(): Promise<Float32Array[]> {
		if (this.#program.outputs !== undefined) return this.#program.outputs();
		const outputs = await this.#program.run();
		const values: Float32Array[] = [];
		for (const t of outputs) values.push(await this.#library.read(t));
		this.#library.release(outputs);
		return values;
	}

	/** Calls of one run. */
	async counts(): Promise<Readonly<Record<string, number>> | undefined> {
		const counted = this.#program.counts;
		if (counted === undefined) return undefined;
		const before = counted();
		const outputs = await this.#program.run();
		await this.#library.wait();
		this.#library.release(outputs);
		return Object.fromEntries(Object.entries(counted()).map(([k, v]) => [k, v - before[k]]));
	}

	release(): void {
		this.#library.release(this.#inputs);
		this.#program.dispose?.();
	}
}

async function upload<T>(library: Library<T>, { inputs }: Row): Promise<Record<string, T>> {
	const tensors: Record<string, T> = {};
	let seed = 1;
	for (const [name, input] of Object.entries(inputs)) tensors[name] = await library.upload(drawn(input, seed++), input.shape);
	await library.wait();
	return tensors;
}

/** Answers the suite, which started this process. `open` opens the library; the clock must be made before. */
export async function serve<T>(open: () => Promise<Library<T>>): Promise<void> {
	const clock = new DriverClock();
	let library: Library<T> | undefined;
	let current: Prepared<T> | undefined;

	async function prepare(row: Row, sampleMs: number): Promise<Replies["prepare"]> {
		library ??= await open();
		current?.release();
		current = undefined;
		const maker = Object.hasOwn(library.programs, row.work) ? library.programs[row.work] : undefined;
		if (maker === undefined) return { cannot: library.cannot(row.work) };
		const inputs = await upload(library, row);
		let made: Awaited<ReturnType<Maker<T>>>;
		try {
			made = await maker(inputs, row.attrs);
		} catch (error) {
			library.release(Object.values(inputs));
			if (error instanceof Cannot) return { cannot: error.message };
			throw error;
		}
		const program = typeof made === "function" ? { run: made } : made;
		current = new Prepared(library, clock, program, Object.values(inputs));
		clock.begin();
		const cold = await current.sample();
		if (program.ownCost !== undefined) return { cold };
		clock.begin();
		await current.fill(sampleMs);
		return { cold, counts: await current.counts() };
	}

	const prepared = (): Prepared<T> => {
		if (current === undefined) throw new Error("no row is prepared");
		return current;
	};
	async function answer(request: Request): Promise<Replies[Request["ask"]]> {
		if (request.ask === "describe") {
			library ??= await open();
			return library.description;
		}
		if (request.ask === "prepare") return prepare(request.row, request.sampleMs);
		if (request.ask === "sample") return prepared().sample();
		if (request.ask === "outputs") return prepared().outputs();
		current?.release();
		current = undefined;
		return null;
	}

	process.on("message", (request: Request) => {
		const reply = (r: Reply) => process.send?.(r);
		answer(request).then(
			(value) => reply({ value }),
			(error: unknown) => reply({ error: textOf(error) }),
		);
	});
	process.on("disconnect", () => process.exit());
}

const textOf = (error: unknown): string => {
	const { code } = error as { readonly code?: unknown };
	const text = error instanceof Error ? error.message : String(error);
	return typeof code === "string" ? `${code}: ${text}` : text;
};
