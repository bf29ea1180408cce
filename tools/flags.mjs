import { parseArgs } from "node:util";

/**
 * Flags of a script of this repository. `--help` prints the help and ends with 0; what is wrong with a flag is one message, without a stack,
 * and ends with 2.
 *
 * @template {NonNullable<import("node:util").ParseArgsConfig["options"]>} O
 * @param {string} help
 * @param {O} options
 * @returns {ReturnType<typeof parseArgs<{ options: O }>>["values"]}
 */
export function readFlags(help, options) {
	if (process.argv.slice(2).includes("--help")) {
		console.log(help);
		process.exit(0);
	}
	try {
		return parseArgs({ options }).values;
	} catch (error) {
		console.error(`${error instanceof Error ? error.message.split(". ")[0] : error}; --help lists the flags`);
		process.exit(2);
	}
}
