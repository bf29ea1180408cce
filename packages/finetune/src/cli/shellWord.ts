/** A word as it is typed into a shell: in quotes where a shell would take it apart. */
export const shellWord = (word: string): string => (/^[\w./=,:@%+-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`);
