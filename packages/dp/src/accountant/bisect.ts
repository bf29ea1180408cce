/** The largest float64 at or below the point in [low, high] where `holds` turns from true to false; `low` has to hold. */
export function lastWhere(holds: (x: number) => boolean, low: number, high: number): number {
	let yes = low;
	let no = high;
	for (;;) {
		const middle = yes + (no - yes) / 2;
		if (middle <= yes || middle >= no) return yes;
		if (holds(middle)) yes = middle;
		else no = middle;
	}
}
