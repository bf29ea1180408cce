/** Invocations that keep a large device busy; a device that computes on the processor wants fewer, with more to do. */
const BUSY = 16384;

/**
 * How many rows of so many columns are begun at once, each column by an invocation, which goes on with the row that many further: at most
 * `most` of them one after the other, and fewer where the device would idle. So an invocation stays in its column, and divides once to
 * find it.
 */
export const rowsAtOnce = (rows: number, columns: number, most = 4): number =>
	Math.min(rows, Math.max(Math.ceil(BUSY / columns), Math.ceil(rows / most)));
