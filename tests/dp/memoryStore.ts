import type { LedgerStore } from "@hushgrad/dp";

/** A ledger's store in memory. */
export function memory(): LedgerStore {
	let text = "";
	return {
		read: async () => text,
		append: async (more) => {
			text += more;
		},
	};
}
