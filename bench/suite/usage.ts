/** Something that was asked for and that there is not: told in one line, and the process ends with code 2. */
export class UsageError extends Error {}
