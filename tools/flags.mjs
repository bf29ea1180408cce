import { parseArgs } from "node:util";

/** Ends with 2 and one message, without a stack. @param {string} message @returns {never} */
export function refuse(message) {
	console.error(`${message}; --help lists the flags`);
	process.exit(2);
}

/**
 * Flags of a script of this repository. `--help` prints the help and ends with 0; what is wrong with a flag is one message, without a stack,
 * and ends with 2.
 *
 * @template {NonNullable<import("node:util").ParseArgsConfig["options"]>} O
 * @param {string} help
 * @param {O} options
 * @returns {ReturnType<typeof parseArgs<{ options: O }>>["values"]}
 */
export const readFlags = (help, options) => readLine(help, options, false).values;

/**
 * Flags, and what stands beside them.
 *
 * @template {NonNullable<import("node:util").ParseArgsConfig["options"]>} O
 * @param {string} help
 * @param {O} options
 * @param {boolean} [allowPositionals]
 * @returns {ReturnType<typeof parseArgs<{ options: O, allowPositionals: true }>>}
 */
export function readLine(help, options, allowPositionals = true) {
	if (process.argv.slice(2).includes("--help")) {
		console.log(help);
		process.exit(0);
	}
	try {
		return parseArgs({ options, allowPositionals });
	} catch (error) {
		return refuse(error instanceof Error ? error.message.split(". ")[0] : String(error));
	}
}

/** A flag's value as a whole number, `least` or more. @param {string} flag @param {string} value @param {number} [least] */
export function whole(flag, value, least = 1) {
	if (/^\d{1,15}$/.test(value) && Number(value) >= least) return Number(value);
	return refuse(`--${flag} is ${JSON.stringify(value)}, expected a whole number, ${least} or more`);
}
