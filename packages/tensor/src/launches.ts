import type { Dispatch } from "./gpu/commands.ts";
import { tensorsIn } from "./scopes.ts";
import { ALWAYS, type Storage } from "./storage.ts";
import { insideOf } from "./tensor.ts";

/** Memory as two runs of a step compare it: of what is made inside, the number in the order of use; of the rest, itself. */
type Place = number | Storage;

/** One run of a kernel. */
interface Launch extends Pick<Dispatch, "pipeline" | "params" | "grid"> {
	readonly places: readonly Place[];
	/** Offset, size and base of each binding. */
	readonly ranges: readonly number[];
}

/** What a step returns: where a tensor lies. */
interface Result {
	readonly place: Place;
	readonly view: string;
}

/**
 * What a run of a step asks of the GPU, without the memory that it gets: kernels, their numbers, what they bind, and where the
 * results lie. Two runs of which these are the same compute the same from the same inputs.
 */
export class Launches {
	readonly #launches: readonly Launch[];
	readonly #results: readonly Result[];

	/** `start` is the birth of the first storage made inside. */
	constructor(start: number, dispatches: readonly Dispatch[], outputs: unknown) {
		const numbers = new Map<Storage, number>();
		const placeOf = (storage: Storage): Place => {
			if (storage.birth < start || storage.birth === ALWAYS) return storage;
			const number = numbers.get(storage) ?? numbers.size;
			numbers.set(storage, number);
			return number;
		};
		this.#launches = dispatches.map(({ pipeline, params, grid, bindings }) => ({
			...{ pipeline, params, grid },
			places: bindings.map((b) => placeOf(b.storage)),
			ranges: bindings.flatMap((b) => [b.offset, b.size, b.base]),
		}));
		this.#results = [...tensorsIn(outputs)].map((t) => {
			const { storage, strides, offset, recordStride } = insideOf(t);
			return { place: placeOf(storage), view: [t.dtype, t.shape, strides, offset, recordStride].join("|") };
		});
	}

	/** Where a later run is another one, as a text that shows no number of a kernel, which may be data; undefined where it is the same. */
	differenceTo(later: Launches): string | undefined {
		for (const [i, launch] of this.#launches.entries()) {
			const other = later.#launches[i];
			if (other === undefined) break;
			const fault = differenceOf(launch, other);
			if (fault !== undefined) return `kernel ${i + 1}, ${launch.pipeline.key}: ${fault}`;
		}
		if (this.#launches.length !== later.#launches.length) return "another number of kernels";
		const results = this.#results;
		const isSame = results.length === later.#results.length && results.every((r, i) => isSameResult(r, later.#results[i]));
		return isSame ? undefined : "it returns other tensors";
	}
}

const isSameResult = (a: Result, b: Result): boolean => a.place === b.place && a.view === b.view;

const same = (a: readonly unknown[], b: readonly unknown[]): boolean => {
	for (let i = 0; i < a.length; i++) if (!Object.is(a[i], b[i])) return false;
	return a.length === b.length;
};

function differenceOf(a: Launch, b: Launch): string | undefined {
	if (a.pipeline !== b.pipeline) return `${b.pipeline.key} now`;
	if (!same(a.params, b.params)) {
		const i = a.params.findIndex((v, k) => !Object.is(v, b.params[k]));
		return `the number ${a.pipeline.params[i][0]} is another one`;
	}
	if (!same(a.grid, b.grid)) return "another number of workgroups";
	return same(a.places, b.places) && same(a.ranges, b.ranges) ? undefined : "it reads or writes another tensor";
}
