/** Bytes in words: "512 KiB", "1.3 GiB". */
export function bytesText(bytes: number): string {
	const [size, unit] = bytes >= 2 ** 30 ? [2 ** 30, "GiB"] : bytes >= 2 ** 20 ? [2 ** 20, "MiB"] : [2 ** 10, "KiB"];
	const value = bytes / size;
	return `${value >= 10 ? Math.round(value) : value.toFixed(1)} ${unit}`;
}

/** A time in words: "42 s", "3 min 20 s", "2 h 5 min". */
export function durationText(seconds: number): string {
	const s = Math.round(seconds);
	if (s < 60) return `${seconds < 10 ? seconds.toFixed(1) : s} s`;
	if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
	return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
}

/** A whole number with its thousands set off, the same in every country. */
export const countText = (n: number): string => n.toLocaleString("en-US");

/** A list of places: the first ones, and how many more. */
export function placesText(places: readonly number[], most = 12): string {
	const more = places.length > most ? `, and ${places.length - most} more` : "";
	return `${places.slice(0, most).join(", ")}${more}`;
}

/** The noise multiplier σ: as the statement of a run has it. */
export const sigmaText = (sigma: number): string => numberText(Number(sigma.toPrecision(6)));

/** A number as people write it: 0.015, 1e-5. */
export const numberText = (n: number): string => (n !== 0 && Math.abs(n) < 1e-3 ? n.toExponential() : String(n));
