import type { Terminal } from "../../packages/finetune/src/cli/command.ts";

/** A terminal that keeps what is written to it. */
export class FakeTerminal implements Terminal {
	readonly columns: number;
	readonly outColumns: number | undefined;
	readonly isInteractive = false;
	readonly hasColor: boolean;
	readonly #controller = new AbortController();
	readonly interrupted = this.#controller.signal;
	stdout = "";
	stderr = "";

	constructor({ columns = 80, hasColor = false, outColumns = undefined as number | undefined } = {}) {
		this.columns = columns;
		this.outColumns = outColumns;
		this.hasColor = hasColor;
	}

	readonly out = (text: string): void => {
		this.stdout += text;
	};

	readonly err = (text: string): void => {
		this.stderr += text;
	};

	interrupt(): void {
		this.#controller.abort();
	}
}
