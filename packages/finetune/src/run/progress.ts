import type { Terminal } from "../cli/command.ts";
import type { RunEvent } from "./events.ts";
import { LiveLine } from "./liveLine.ts";
import { factsOf, type ProgressView, progressLine, workOf } from "./progressView.ts";

/** Milliseconds between two lines of a log. */
const LOG_EVERY = 5000;

/** Milliseconds between two positions of the clocks. */
const TICK = 1000;

/** Shows what happens: on a terminal one line that is written over, elsewhere lines, of which one comes every five seconds at most. */
export class Progress {
	readonly #terminal: Terminal;
	readonly #live: LiveLine | undefined;
	readonly #now: () => number;
	readonly #clock: NodeJS.Timeout | undefined;
	/** What is being done, and since when; `before` of it was done by then, which says nothing of the pace. */
	#work = { what: "", began: 0, before: 0 };
	#view: Omit<ProgressView, "elapsed"> = { what: "", facts: [] };
	/** What happens beside it. */
	#note: string | undefined;
	/** When the view was made. */
	#seen = 0;
	#logged = Number.NEGATIVE_INFINITY;

	constructor(terminal: Terminal, now: () => number = () => performance.now()) {
		this.#terminal = terminal;
		this.#live = terminal.isInteractive ? new LiveLine(terminal.err) : undefined;
		this.#now = now;
		this.#clock = this.#live && setInterval(() => this.#work.what !== "" && this.#draw(), TICK).unref();
	}

	/** Takes in what a run tells. */
	tell(event: RunEvent): void {
		if (event.kind === "warning") {
			this.print(`warning: ${event.message}\n`);
			return;
		}
		if (event.kind === "saving" || event.kind === "saved") {
			this.#note = event.kind === "saving" ? "saving" : undefined;
			this.#draw();
			return;
		}
		const now = this.#now();
		const { what, done, total } = workOf(event);
		const isNew = what !== this.#work.what;
		if (isNew && event.kind === "step") this.#work = { what, began: now - 1000 * event.seconds, before: event.step - 1 };
		else if (isNew) {
			this.#work = { what, began: now, before: done ?? 0 };
			this.#logged = now;
		}
		this.#view = { what, done, total, facts: event.kind === "step" ? factsOf(event) : [], left: this.#left(now, done, total) };
		this.#seen = now;
		if (this.#live !== undefined) this.#draw();
		else if (event.kind === "step") this.#log(now, isNew || event.step === event.steps);
		else if (isNew) this.#terminal.err(`${what}\n`);
		else this.#log(now, false);
	}

	/** Writes what is to stay. */
	print(text: string): void {
		if (this.#live === undefined) this.#terminal.err(text);
		else this.#live.print(text);
	}

	/** Ends the line. */
	async close(): Promise<void> {
		clearInterval(this.#clock);
		await this.#live?.close();
	}

	#left(now: number, done: number | undefined, total: number | undefined): number | undefined {
		const { began, before } = this.#work;
		if (done === undefined || total === undefined || done <= before) return undefined;
		return ((now - began) / (done - before)) * (total - done);
	}

	#line(columns: number): string {
		const now = this.#now();
		const { left, facts } = this.#view;
		const rest = left === undefined ? undefined : Math.max(0, left - (now - this.#seen));
		const shown = this.#note === undefined ? facts : [this.#note, ...facts];
		return progressLine({ ...this.#view, facts: shown, elapsed: now - this.#work.began, left: rest }, columns);
	}

	/** A driver writes by itself while it is opened: there is no line then. The line leaves room for its sign, and for the ^C of a terminal. */
	#draw(): void {
		const { what } = this.#work;
		this.#live?.set(what === "opening the GPU" ? "" : this.#line(this.#terminal.columns - 5));
	}

	#log(now: number, isDue: boolean): void {
		if (!isDue && now - this.#logged < LOG_EVERY) return;
		this.#logged = now;
		this.#terminal.err(`${this.#line(Math.max(this.#terminal.columns, 60))}\n`);
	}
}
