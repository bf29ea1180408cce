import { type ChildProcess, fork } from "node:child_process";
import type { Replies, Reply, Request } from "./protocol.ts";

/** How a contender's process is started. */
export interface Command {
	/** What tables call it; the first one is what the others are compared with. */
	readonly name: string;
	readonly script: string;
	readonly args?: readonly string[];
	/** Flags of Node before the script. */
	readonly flags?: readonly string[];
	readonly cwd?: string;
}

const MINUTE = 60_000;
const LIMITS: Readonly<Record<Request["ask"], number>> = {
	describe: MINUTE,
	prepare: 5 * MINUTE,
	sample: 3 * MINUTE,
	outputs: MINUTE,
	release: MINUTE,
};
/** Lines that Dawn prints about every device. */
const NOISE = /^Warning: maxDynamic|^\s*$/;

/** A process with one library and its GPU, asked one thing at a time. It is started at the first question, and again after it ended. */
export class Contender {
	readonly name: string;
	readonly #command: Command;
	#child: ChildProcess | undefined;
	#said: string[] = [];

	constructor(command: Command) {
		this.name = command.name;
		this.#command = command;
	}

	/** @throws Error with what the process answered, or said when it ended or was too slow. */
	ask<A extends Request["ask"]>(request: Extract<Request, { ask: A }>): Promise<Replies[A]> {
		const child = this.#child ?? this.#start();
		return new Promise((resolve, reject) => {
			const limit = LIMITS[request.ask];
			const settle = (act: () => void): void => {
				clearTimeout(timer);
				child.off("message", heard).off("exit", ended);
				act();
			};
			const heard = (reply: Reply): void =>
				settle(() => ("error" in reply ? reject(new Error(reply.error)) : resolve(reply.value as Replies[A])));
			const ended = (code: number | null, signal: string | null): void =>
				settle(() => reject(new Error(`the process ended (${signal ?? `code ${code}`})${this.#lastWords()}`)));
			const timer = setTimeout(() => {
				settle(() => reject(new Error(`no answer in ${limit / 1000} s`)));
				this.stop();
			}, limit);
			child.on("message", heard).on("exit", ended);
			child.send(request);
		});
	}

	/** Ends the process; the next question starts another. */
	stop(): void {
		this.#child?.kill("SIGKILL");
		this.#child = undefined;
	}

	#lastWords(): string {
		const words = this.#said.slice(-3).join("; ");
		return words === "" ? "" : `: ${words}`;
	}

	#start(): ChildProcess {
		const { script, args = [], flags = [], cwd } = this.#command;
		const child = fork(script, args, {
			cwd,
			execArgv: ["--import", "tsx", "-C", "@hushgrad/source", ...flags],
			serialization: "advanced",
			stdio: ["ignore", "pipe", "pipe", "ipc"],
		});
		this.#said = [];
		for (const stream of [child.stdout, child.stderr]) {
			stream?.on("data", (text) => {
				const lines = String(text).split("\n");
				this.#said.push(...lines.filter((line) => !NOISE.test(line)));
				this.#said.splice(0, this.#said.length - 20);
			});
		}
		child.on("exit", () => {
			if (this.#child === child) this.#child = undefined;
		});
		this.#child = child;
		return child;
	}
}
