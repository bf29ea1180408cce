/**
 * The first key that any object of a valid JSON text holds twice (JSON.parse would let the last one win);
 * undefined when there is none.
 */
export function duplicateKey(json: string): string | undefined {
	const open: Set<string>[] = [];
	for (const [token] of json.matchAll(/"(?:[^"\\]|\\.)*"(\s*:)?|[{}[\]]/g)) {
		if (token === "{" || token === "[") open.push(new Set());
		else if (token === "}" || token === "]") open.pop();
		else if (token.endsWith(":")) {
			const key = JSON.parse(token.slice(0, token.lastIndexOf('"') + 1)) as string;
			const keys = open[open.length - 1];
			if (keys.has(key)) return key;
			keys.add(key);
		}
	}
	return undefined;
}
