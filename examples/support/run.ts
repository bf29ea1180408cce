import { HushgradError } from "@hushgrad/tensor";
import { helpText, type Options, readOptions } from "./options.ts";

/** Runs a program with the flags of the command line. Errors of the library are one message without a stack; others are bugs. */
export async function run(main: (options: Options) => Promise<void>): Promise<void> {
	try {
		const options = readOptions(process.argv.slice(2));
		if (options === undefined) console.log(helpText());
		else await main(options);
	} catch (error) {
		if (!(error instanceof HushgradError)) throw error;
		console.error(`${error.name} [${error.code}]: ${error.message}`);
		process.exit(1);
	}
}
