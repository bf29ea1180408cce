/** Runs the program of a page. A HushgradError that it throws is one line with its code. */
import { HushgradError } from "@hushgrad/tensor";

try {
	await import(process.argv[2]);
} catch (error) {
	if (!(error instanceof HushgradError)) throw error;
	console.error(`throws ${error.code}`);
	process.exit(1);
}
