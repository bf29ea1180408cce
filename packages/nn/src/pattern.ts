import { ValueError } from "@hushgrad/tensor";

/** What a step of a pattern reads: one character that `reads` accepts, nothing where `holds`, or nothing, with two ways on. */
type State =
	| { readonly reads: (char: string) => boolean; next: number }
	| { readonly holds: (text: string, at: number) => boolean; next: number }
	| { readonly ways: number[] };

/** A piece of the machine: where it begins, and the states whose way on is not set yet. */
interface Piece {
	readonly start: number;
	readonly open: readonly ((to: number) => void)[];
}

const MAX_STATES = 5000;
const MAX_DEPTH = 100;
const CLASSES: Readonly<Record<string, string>> = { d: "0-9", w: "A-Za-z0-9_", s: " \t\n\r\f\v" };
const isWord = (char: string | undefined): boolean => char !== undefined && /\w/.test(char);

/**
 * A regular expression of Python's `re` as target_modules of peft uses it, matched against a whole path in time proportional to its
 * length (Thompson 1968): no pattern can hang. Literals, `.`, classes, groups, `|`, `* + ? {m,n}` also in their lazy form, `^ $ \b
 * \A \Z`, `\d \w \s` and their opposites, and `(?i)` in front.
 */
export class PathPattern {
	readonly #source: string;
	readonly #states: State[] = [];
	readonly #start: number;
	readonly #anyCase: boolean;
	#at = 0;
	#depth = 0;

	/** @throws ValueError for a pattern that is malformed or uses anything else, such as lookaround and references. */
	constructor(source: string) {
		this.#source = source;
		this.#anyCase = source.startsWith("(?i)");
		if (this.#anyCase) this.#at = 4;
		const { start, open } = this.#alternatives();
		if (this.#at < source.length) this.#fail(`has an unmatched ${source[this.#at]}`);
		const end = this.#add({ ways: [] });
		for (const set of open) set(end);
		this.#start = start;
	}

	/** Whether all of `path` matches. */
	matches(path: string): boolean {
		const text = path.split("");
		let now = this.#reach([this.#start], path, 0);
		for (let i = 0; i < text.length; i++) {
			const next: number[] = [];
			for (const s of now) {
				const state = this.#states[s];
				if ("reads" in state && state.reads(text[i])) next.push(state.next);
			}
			now = this.#reach(next, path, i + 1);
		}
		return now.has(this.#states.length - 1);
	}

	/** The states that can be reached without reading. */
	#reach(from: number[], text: string, at: number): Set<number> {
		const seen = new Set<number>();
		const open = [...from];
		for (let s = open.pop(); s !== undefined; s = open.pop()) {
			if (seen.has(s)) continue;
			seen.add(s);
			const state = this.#states[s];
			if ("ways" in state) open.push(...state.ways);
			else if ("holds" in state && state.holds(text, at)) open.push(state.next);
		}
		return seen;
	}

	#fail(what: string): never {
		throw new ValueError("lora/pattern", `target_modules ${JSON.stringify(this.#source)} ${what}`, {
			hint: "a list of names is simpler; of regular expressions groups, |, classes, * + ? {m,n}, ^ $ \\b \\d \\w \\s and (?i) are read",
		});
	}

	#add(state: State): number {
		if (this.#states.length >= MAX_STATES) this.#fail(`has more than ${MAX_STATES} steps`);
		return this.#states.push(state) - 1;
	}

	#alternatives(): Piece {
		const pieces = [this.#sequence()];
		while (this.#take("|")) pieces.push(this.#sequence());
		if (pieces.length === 1) return pieces[0];
		return { start: this.#add({ ways: pieces.map((p) => p.start) }), open: pieces.flatMap((p) => p.open) };
	}

	#sequence(): Piece {
		let piece = this.#nothing();
		while (this.#at < this.#source.length && !"|)".includes(this.#source[this.#at])) piece = this.#then(piece, this.#repeated());
		return piece;
	}

	#then(a: Piece, b: Piece): Piece {
		for (const set of a.open) set(b.start);
		return { start: a.start, open: b.open };
	}

	#repeated(): Piece {
		const begin = this.#at;
		let piece = this.#atom();
		const end = this.#at;
		const [least, most] = this.#counts();
		if (least === 1 && most === 1) return piece;
		// The atom once more for every repetition: it is read again from its text.
		const again = (): Piece => {
			const after = this.#at;
			this.#at = begin;
			const copy = this.#atom();
			this.#at = after;
			return copy;
		};
		if (end === begin) this.#fail("repeats nothing");
		const copies = most === Number.POSITIVE_INFINITY ? Math.max(least, 1) : most;
		const skips: ((to: number) => void)[] = [];
		let whole: Piece | undefined;
		for (let i = 0; i < copies; i++) {
			if (i > 0) piece = again();
			const ways = [piece.start];
			const fork = this.#add({ ways });
			if (i >= least) skips.push((to) => ways.push(to));
			const part: Piece = { start: fork, open: piece.open };
			if (i === copies - 1 && most === Number.POSITIVE_INFINITY) {
				const on = [fork];
				const loop = this.#add({ ways: on });
				for (const set of piece.open) set(loop);
				const open = [(to: number) => on.push(to)];
				whole = whole === undefined ? { start: fork, open } : this.#then(whole, { start: fork, open });
			} else whole = whole === undefined ? part : this.#then(whole, part);
		}
		const none = whole ?? this.#nothing();
		return { start: none.start, open: [...none.open, ...skips] };
	}

	#nothing(): Piece {
		const ways: number[] = [];
		return { start: this.#add({ ways }), open: [(to) => ways.push(to)] };
	}

	/** How often the atom before stands: least and most. */
	#counts(): readonly [number, number] {
		const [all, sign, low, comma, high] = /^(?:([*+?])|\{(\d*)(,?)(\d*)\})/.exec(this.#source.slice(this.#at)) ?? [];
		if (all === undefined || all === "{}") return [1, 1];
		this.#at += all.length;
		this.#take("?");
		if (/^[*+?]|^\{\d*,?\d*\}/.test(this.#source.slice(this.#at))) this.#fail("has two repetitions in a row");
		if (sign !== undefined) return [sign === "+" ? 1 : 0, sign === "?" ? 1 : Number.POSITIVE_INFINITY];
		const least = Number(low);
		const most = comma === "" ? least : high === "" ? Number.POSITIVE_INFINITY : Number(high);
		if (least > most) this.#fail(`repeats from ${least} to ${most}`);
		return [least, most];
	}

	#atom(): Piece {
		const char = this.#source[this.#at++];
		if (char === "(") return this.#group();
		if (char === "[") return this.#one(this.#class());
		if (char === "^") return this.#where((_, at) => at === 0);
		if (char === "$") return this.#where((text, at) => at === text.length);
		if (char === ".") return this.#one((c) => c !== "\n");
		if ("*+?".includes(char)) this.#fail("repeats nothing");
		if (char !== "\\") return this.#one(this.#literal(char));
		const escaped = this.#source[this.#at];
		const isBoundary = (text: string, at: number): boolean => isWord(text[at - 1]) !== isWord(text[at]);
		this.#at++;
		if (escaped === "b") return this.#where(isBoundary);
		if (escaped === "B") return this.#where((text, at) => !isBoundary(text, at));
		if (escaped === "A") return this.#where((_, at) => at === 0);
		if (escaped === "Z") return this.#where((text, at) => at === text.length);
		return this.#one(this.#escape(escaped));
	}

	#group(): Piece {
		if (this.#take("?")) {
			const [name] = /^P<\w+>/.exec(this.#source.slice(this.#at)) ?? [];
			if (name !== undefined) this.#at += name.length;
			else if (!this.#take(":")) this.#fail(`uses (?${this.#source.slice(this.#at, this.#at + 2)}…), which is not read`);
		}
		if (++this.#depth > MAX_DEPTH) this.#fail(`nests more than ${MAX_DEPTH} groups`);
		const piece = this.#alternatives();
		this.#depth--;
		if (!this.#take(")")) this.#fail("has an unmatched (");
		return piece;
	}

	/** A class, behind its opening bracket. */
	#class(): (char: string) => boolean {
		const isNot = this.#take("^");
		const parts: ((char: string) => boolean)[] = [];
		for (let first = true; first || this.#source[this.#at] !== "]"; first = false) {
			if (this.#at >= this.#source.length) this.#fail("has an unmatched [");
			const from = this.#source[this.#at++];
			if (from === "\\") {
				parts.push(this.#escape(this.#source[this.#at++]));
				continue;
			}
			const [range] = /^-[^\]\\]/.exec(this.#source.slice(this.#at)) ?? [];
			if (range === undefined) parts.push(this.#literal(from));
			else {
				this.#at += 2;
				if (range[1] < from) this.#fail(`has the range ${from}${range}`);
				parts.push(this.#inCase((c) => c >= from && c <= range[1]));
			}
		}
		this.#at++;
		return (c) => parts.some((part) => part(c)) !== isNot;
	}

	#escape(char: string | undefined): (char: string) => boolean {
		if (char === undefined) return this.#fail("ends with \\");
		const set = CLASSES[char.toLowerCase()];
		if (set !== undefined) {
			const known = new RegExp(`[${set}]`);
			return (c) => known.test(c) === (char === char.toLowerCase());
		}
		if (/[0-9A-Za-z]/.test(char)) this.#fail(`uses \\${char}, which is not read`);
		return this.#literal(char);
	}

	#literal(char: string): (char: string) => boolean {
		return this.#inCase((c) => c === char);
	}

	#inCase(test: (char: string) => boolean): (char: string) => boolean {
		return this.#anyCase ? (c) => test(c.toLowerCase()) || test(c.toUpperCase()) : test;
	}

	#one(reads: (char: string) => boolean): Piece {
		const state: State = { reads, next: 0 };
		return this.#single(state);
	}

	#where(holds: (text: string, at: number) => boolean): Piece {
		return this.#single({ holds, next: 0 });
	}

	#single(state: State & { next: number }): Piece {
		return { start: this.#add(state), open: [(to) => (state.next = to)] };
	}

	#take(char: string): boolean {
		const isNext = this.#source[this.#at] === char;
		if (isNext) this.#at++;
		return isNext;
	}
}
