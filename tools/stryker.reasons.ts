/** Why a module that does not load counts here: StrykerJS takes a test file without tests for one that passed. */
export const NO_MODULE = "the module does not load, and StrykerJS takes a test file without tests for one that passed";

export const NAMED = "named() puts the name of the function that was called in its place";
export const BLAMED = "blaming() puts the name of the function that was called in its place";
export const ITERABLE = "writeFile writes an iterable piece by piece";
export const COPIED = "an event of Poisson sampling is copied without what else stands in it";
export const NO_PROCESS = "0 and NaN name no process alike";
export const NO_LENGTH = "a number has no length, so it is as long as no list";
export const LONGER = "a longer table begins alike";
export const BEYOND = "what is written beyond the end of a typed array is nowhere";
export const CHARACTERS = "a text is written character by character, with the same bytes";
export const EDGE = "the two differ in the last bit, or where two numbers are equal to the last bit, which no result hangs on";
export const STARTED = "a sum that begins elsewhere has the same terms";
export const NOTHING_MORE = "what is left out or added is below 2⁻⁶⁰ of the sum";
export const SEARCHED = "another way of the search to the same tilt; whatever tilt there is, the bound holds";
export const ONCE = "a number of 53 bits is hit once in 2⁵³";

export const ZEROS = "more cells than are used, which stay 0";
export const KNOWN = "more points are tried, whose ε is known";
export const CUT_OFF = "more cells than are used, which stay 0 and are cut off";
export const STEPPED = "masses that are not stepped over are 0";
export const ORDER = "which coordinates an invocation takes is a matter of speed";
