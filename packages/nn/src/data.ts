import { foldIn, type Key, permutation, ValueError } from "@hushgrad/tensor";
import { expects, type Kind, optionsOf } from "@hushgrad/tensor/author";

/** Examples by number: an array, or anything with a length that fetches one. */
export interface Dataset<T> {
	/** Number of examples. */
	readonly length: number;
	/** Example number i, from 0. */
	get(i: number): T | Promise<T>;
}

/** Options of a `DataLoader`. */
export interface DataLoaderOptions<T, B> {
	/** Examples of a batch; 1 when left out. */
	readonly batchSize?: number | undefined;
	/** A key to draw a new order from for each epoch; the order of the data when left out. */
	readonly shuffle?: Key | undefined;
	/** Leave out a last batch that is smaller than the others; false when left out. */
	readonly dropLast?: boolean | undefined;
	/** Makes a batch of its examples; the array itself when left out. */
	readonly collate?: ((examples: T[]) => B | Promise<B>) | undefined;
}

const DATASET: Kind = [
	(v) => Array.isArray(v) || ArrayBuffer.isView(v) || (typeof v === "object" && v !== null && "get" in v && typeof v.get === "function"),
	"a list, or an object with length and get",
];

/**
 * Batches of a dataset, in the manner of torch's DataLoader: `for await (const batch of loader)` is one epoch, each with an order of its own
 * drawn from the key. For plain training: batches of fixed size in an order without repetition are no Poisson sample, so a private
 * run takes its batches from the engine of `@hushgrad/dp`.
 */
export class DataLoader<T, B = T[]> {
	readonly #dataset: Dataset<T> | readonly T[];
	readonly #options: DataLoaderOptions<T, B>;
	readonly #batchSize: number;
	/** Number of the next epoch: what its order is drawn from. Set it to go on where another run stopped. */
	epoch = 0;

	/** @throws ValueError unless `batchSize` is a whole number of 1 or more. */
	constructor(dataset: Dataset<T> | readonly T[], options: DataLoaderOptions<T, B> = {}) {
		expects("DataLoader", { dataset }, { dataset: DATASET });
		expects("DataLoader", { "dataset.length": dataset.length }, { "dataset.length": "count" });
		const { batchSize = 1 } = optionsOf("DataLoader", options, {
			...{ batchSize: "number?", shuffle: "key?", dropLast: "flag?", collate: "function?" },
		});
		if (!(Number.isInteger(batchSize) && batchSize >= 1)) {
			throw new ValueError("data/batch", `DataLoader: batchSize is ${batchSize}, expected a whole number of 1 or more`);
		}
		this.#dataset = dataset;
		this.#options = options;
		this.#batchSize = batchSize;
	}

	/** Batches of an epoch. */
	get length(): number {
		const batches = this.#dataset.length / this.#batchSize;
		return this.#options.dropLast ? Math.floor(batches) : Math.ceil(batches);
	}

	/** One epoch. */
	async *[Symbol.asyncIterator](): AsyncGenerator<B> {
		const { shuffle, collate = (examples: T[]) => examples as B } = this.#options;
		const { length } = this.#dataset;
		const order = shuffle === undefined ? undefined : permutation(length, foldIn(shuffle, this.epoch));
		this.epoch++;
		for (let b = 0; b < this.length; b++) {
			const places = Array.from({ length: Math.min(this.#batchSize, length - b * this.#batchSize) }, (_, i) => b * this.#batchSize + i);
			yield await collate(await Promise.all(places.map((i) => this.#get(order?.[i] ?? i))));
		}
	}

	#get(i: number): T | Promise<T> {
		const data = this.#dataset;
		return "get" in data ? data.get(i) : data[i];
	}
}
