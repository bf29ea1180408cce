import type { LedgerStore } from "@hushgrad/dp";

/** A ledger's store in memory, and what is in it; `fail` makes the next append fail. */
export function memoryStore(text = ""): { readonly kept: { text: string; fail: boolean }; readonly store: LedgerStore } {
	const kept = { text, fail: false };
	const store: LedgerStore = {
		read: async () => kept.text,
		append: async (more) => {
			if (kept.fail) throw new Error("no space left on device");
			kept.text += more;
		},
	};
	return { kept, store };
}

export const memory = (): LedgerStore => memoryStore().store;
