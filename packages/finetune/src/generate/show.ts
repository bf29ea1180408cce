import type { Terminal } from "../cli/command.ts";
import { wrapped } from "../cli/wrapped.ts";

/** Writes an answer to stdout as it comes, until it ends or is interrupted: for a person in lines of the terminal's width. */
export async function show(pieces: AsyncIterable<string>, { out, outColumns, interrupted }: Terminal): Promise<void> {
	for await (const piece of outColumns === undefined ? pieces : wrapped(pieces, outColumns)) {
		out(piece);
		if (interrupted.aborted) break;
	}
	out("\n");
}
