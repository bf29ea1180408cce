import { callers } from "./debug.ts";
import type { Claim } from "./storage.ts";
import { claimOf, type Tensor } from "./tensor.ts";

/** Tensors outside of scopes, at least, before a garbage collection is asked for. */
const LEAST_TENSORS = 1024;
/** So many times as much is told where the program never waits, so that nothing can be collected. */
const SYNCHRONOUS = 4;
/** Times, at most, that the garbage collector is asked. */
const ROUNDS = 16;

/** A number of tensors and their bytes. */
interface Amount {
	readonly count: number;
	readonly bytes: number;
}

const NOTHING: Amount = { count: 0, bytes: 0 };
const times = ({ count, bytes }: Amount, factor: number): Amount => ({ count: count * factor, bytes: bytes * factor });
const plus = ({ count, bytes }: Amount, { storage }: Claim, sign: 1 | -1): Amount => ({
	count: count + sign,
	bytes: bytes + sign * storage.size,
});
const exceeds = (a: Amount, b: Amount): boolean => a.count > b.count || a.bytes > b.bytes;
const show = ({ count, bytes }: Amount): string => `${count} tensors (${(bytes / 1e6).toFixed(1)} MB)`;

/**
 * The tensors that no scope owns: made outside of all of them, or kept. Those whose handles the garbage collector took are
 * released, but not whenever it happens to run: only where there are more than a limit, in a wait for the GPU (`collect`), or for
 * want of memory (`release`). So what a program that stays below holds depends on the program alone.
 */
export class Unowned {
	readonly #least: Amount;
	readonly #log: (text: string) => void;
	/** Handles, and an object that is garbage at once where it is to be known when a collection has been. */
	readonly #handles = new FinalizationRegistry<Claim | undefined>((claim) => {
		if (claim === undefined) this.#hasCollected = true;
		else this.#unreachable.push(claim);
	});
	#hasCollected = false;
	/**
	 * What is dropped to see that a collection has been. Young objects are collected apart and more often, so that one made for
	 * the purpose would tell nothing of older ones: these are as old as the handles, or outlived a whole collection.
	 */
	#witnesses: object[] = [{}, {}];
	/** Claims whose handles are gone. */
	#unreachable: Claim[] = [];
	#all = NOTHING;
	/** Those that were not kept: nobody said that they would be released. */
	#loose = NOTHING;
	readonly #isLoose = new WeakSet<Claim>();
	/** What the last collection left. */
	#left = NOTHING;
	#collecting: Promise<void> | undefined;
	/** What the collector found first, which is told with the next such tensor. */
	#found: { readonly amount: Amount; readonly size: number } | undefined;
	#hasTold = false;

	/** Below `leastBytes` no garbage collection is asked for. */
	constructor(leastBytes: number, log: (text: string) => void) {
		this.#least = { count: LEAST_TENSORS, bytes: leastBytes };
		this.#log = log;
	}

	/** Whether it is time to have garbage collected: there is more than the limit, and than twice what the last time left. */
	get isTooMuch(): boolean {
		return exceeds(this.#all, this.#limit);
	}

	/** A tensor that left the outermost scope, or was made outside. */
	add(tensor: Tensor): void {
		const claim = claimOf(tensor);
		this.#register(tensor, claim);
		this.#isLoose.add(claim);
		this.#loose = plus(this.#loose, claim, 1);
		if (!this.#hasTold) this.#tell(tensor, claim);
	}

	/** A tensor that somebody takes over. */
	keep(tensor: Tensor): void {
		const claim = claimOf(tensor);
		if (claim.registry === undefined) this.#register(tensor, claim);
		if (this.#isLoose.delete(claim)) this.#loose = plus(this.#loose, claim, -1);
	}

	/** A claim that was given up. */
	forget(claim: Claim): void {
		this.#all = plus(this.#all, claim, -1);
		if (this.#isLoose.delete(claim)) this.#loose = plus(this.#loose, claim, -1);
	}

	/** Releases what is known to be garbage. */
	release(): void {
		const claims = this.#unreachable.filter((c) => !c.released);
		this.#unreachable = [];
		const loose = claims.filter((c) => this.#isLoose.has(c));
		for (const claim of claims) claim.release();
		if (loose.length === 0) return;
		const amount = loose.reduce((sum, c) => plus(sum, c, 1), NOTHING);
		this.#found ??= { amount, size: Math.max(...loose.map((c) => c.storage.size)) };
	}

	/** Asks for a garbage collection, waits for it, and releases what it found. */
	collect(): Promise<void> {
		this.#collecting ??= this.#collect().finally(() => {
			this.#collecting = undefined;
		});
		return this.#collecting;
	}

	async #collect(): Promise<void> {
		const witnesses = this.#witnesses;
		this.#witnesses = [{}, {}];
		// Twice: the first collection may have begun before, and then misses what became garbage meanwhile.
		while (witnesses.length > 0) {
			this.#hasCollected = false;
			this.#handles.register(witnesses.pop() as object, undefined);
			for (let round = 1; round <= ROUNDS && !this.#hasCollected; round++) {
				askForGarbageCollection(Math.min(4, round));
				await new Promise((resolve) => setTimeout(resolve));
			}
		}
		this.release();
		this.#left = this.#all;
	}

	get #limit(): Amount {
		const { count, bytes } = this.#left;
		return { count: Math.max(this.#least.count, 2 * count), bytes: Math.max(this.#least.bytes, 2 * bytes) };
	}

	#register(tensor: Tensor, claim: Claim): void {
		this.#handles.register(tensor, claim);
		claim.registry = this;
		this.#all = plus(this.#all, claim, 1);
	}

	/** Says, once, what grows outside of scopes, and where it is made. */
	#tell({ dtype, shape }: Tensor, { storage }: Claim): void {
		const found = this.#found?.size === storage.size ? this.#found.amount : undefined;
		if (found === undefined && !exceeds(this.#loose, times(this.#least, SYNCHRONOUS))) return;
		this.#hasTold = true;
		const what =
			found === undefined
				? `${show(this.#loose)} made outside of every scope are alive`
				: `${show(found)} made outside of every scope waited for the garbage collector`;
		const example = `${dtype} [${shape.join(", ")}]`;
		this.#log(`memory: ${what}, such as ${example}, made\n${callers(deepStack(), 1)}\nrelease what a step makes when it ends: ${LINE}`);
	}
}

const LINE = "const loss = device.scope(() => step())";

/** The stack, deep enough to show who called the library. */
function deepStack(): string {
	const { stackTraceLimit } = Error;
	Error.stackTraceLimit = 100;
	const { stack = "" } = new Error();
	Error.stackTraceLimit = stackTraceLimit;
	return stack;
}

/**
 * Makes JavaScript's engine collect garbage: it sees the bytes of array buffers as what they might become. Nobody touches these, so
 * that they are addresses and no memory. More of them at once make it hurry.
 */
function askForGarbageCollection(gigabytes: number): void {
	try {
		Array.from({ length: gigabytes }, () => new ArrayBuffer(2 ** 30));
	} catch {
		// Where not even addresses are left, it has collected already.
	}
}
