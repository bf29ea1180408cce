import type { NoiseSource } from "./secureRandom.ts";
import { sha256 } from "./sha256.ts";

/** Stream of sources with a seed that the secret is drawn from; those below are of the steps. */
const STREAM = 2 ** 31;

/**
 * Assigns records to the steps of an epoch, or to bins, by what they hold: floor(u·steps) with u = 52 bits of
 * SHA-256(secret ‖ "step", epoch, the record's own SHA-256, its copy), where copy 0, 1, … counts equal records. The secret has 256 bits and
 * fills one block of the hash, so this is a pseudorandom function, of a prefix-free set of texts (Bellare, Canetti, Krawczyk 1996): to whoever
 * has not the secret every record's step is uniform, and independent of all others, equal ones included.
 *
 * So neither the order of records nor who else is among them matters, and an assignment needs no memory but the secret: it cannot be
 * continued by a wrong list. Taking one record away leaves the steps of all others as they are.
 */
export class Allocation {
	/** 64 hexadecimal digits. Who has it knows the steps without the amplification by sampling. */
	readonly secret: string;

	/** Of a secret that was drawn before. */
	constructor(secret: string) {
		this.secret = secret;
		Object.freeze(this);
	}

	/** Of a new secret. */
	static draw(source: NoiseSource): Allocation {
		const own = source.forStep(STREAM);
		const word = (): string => Math.floor(own.uniform53() * 2 ** 32).toString(16);
		return new Allocation(Array.from({ length: 8 }, () => word().padStart(8, "0")).join(""));
	}

	/** A public name that only this secret has, and that does not tell it. */
	get name(): string {
		return sha256(`${this.secret} name`).slice(0, 32);
	}

	/** What tells these records from others, in whichever order; nothing for whoever has not the secret. */
	sealOf(identities: readonly string[]): string {
		return sha256(`${this.secret} records ${[...identities].sort().join(" ")}`);
	}

	/** The step of each record, from 0, in an epoch of so many. */
	stepsOf(identities: readonly string[], epoch: number, length: number): Int32Array {
		const copies = new Map<string, number>();
		return Int32Array.from(identities, (identity) => {
			const copy = copies.get(identity) ?? 0;
			copies.set(identity, copy + 1);
			const hash = sha256(`${this.secret} step ${epoch} ${identity} ${copy}`);
			return Math.floor(Number.parseInt(hash.slice(0, 13), 16) * 2 ** -52 * length);
		});
	}
}
