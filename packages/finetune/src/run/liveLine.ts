import { Worker } from "node:worker_threads";

/** Milliseconds between two pictures. */
const EVERY = 120;

/**
 * What the worker does: it draws the line again, with the next sign in front, whenever the time has come, and never while the lock is held.
 * What it draws does not wait for the main thread, which loading and planning keep busy for seconds.
 */
const PROGRAM = `
const { parentPort, workerData } = require("node:worker_threads");
const { writeSync } = require("node:fs");
const { lock, every, fd } = workerData;
const signs = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏";
let text = "";
let n = 0;
const draw = () => {
  if (text === "" || Atomics.compareExchange(lock, 0, 0, 1) !== 0) return;
  try { writeSync(fd, "\\r\\x1b[2K" + signs[n++ % signs.length] + " " + text); } catch {}
  Atomics.store(lock, 0, 0);
};
parentPort.on("message", (line) => { text = line; });
setInterval(draw, every);
draw();`;

/** A line at the bottom of a terminal that moves by itself, also while the program computes. */
export class LiveLine {
	readonly #lock = new Int32Array(new SharedArrayBuffer(4));
	readonly #write: (text: string) => void;
	readonly #worker: Worker;

	/** `write` writes to the terminal, as the line does, which goes to the file descriptor `fd`. */
	constructor(write: (text: string) => void, fd = 2) {
		this.#write = write;
		this.#worker = new Worker(PROGRAM, { eval: true, execArgv: [], name: "progress", workerData: { lock: this.#lock, every: EVERY, fd } });
		this.#worker.unref();
	}

	/** What the line says from now on; two columns before it are its own. */
	set(text: string): void {
		if (text === "") this.print("");
		this.#worker.postMessage(text);
	}

	/** Writes what is to stay, above the line. */
	print(text: string): void {
		this.#hold();
		this.#write(`\r\x1b[2K${text}`);
		Atomics.store(this.#lock, 0, 0);
	}

	/** Takes the line away. */
	async close(): Promise<void> {
		this.#hold();
		this.#write("\r\x1b[2K");
		await this.#worker.terminate();
	}

	/** Waits until the line is not being drawn, which takes no longer than a write. */
	#hold(): void {
		while (Atomics.compareExchange(this.#lock, 0, 0, 1) !== 0) Atomics.wait(this.#lock, 0, 1, 1);
	}
}
