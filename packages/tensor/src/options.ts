/** Options of which none is left open. */
export type Settled<T> = { readonly [K in keyof T]-?: Exclude<T[K], undefined> };

/** Some of the options; undefined is as good as left out. */
export type Some<T> = { readonly [K in keyof T]?: T[K] | undefined };

/** The options given, and the defaults of the others. */
export function withDefaults<T extends object>(defaults: T, given: Some<T>): T {
	return { ...defaults, ...Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)) };
}
