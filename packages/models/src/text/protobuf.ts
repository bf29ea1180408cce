/** One field of a protobuf message; its value is read as what the schema says it is. */
export interface ProtoField {
	readonly field: number;
	int(): number;
	float(): number;
	bytes(): Uint8Array<ArrayBuffer>;
}

const wrongType = (field: number): never => {
	throw new RangeError(`field ${field} has another type than the schema's`);
};

/** Walks the fields of one protobuf message. @throws RangeError when the bytes end early or hold no message. */
export class ProtoReader {
	readonly #bytes: Uint8Array<ArrayBuffer>;
	readonly #view: DataView;
	#at = 0;

	constructor(bytes: Uint8Array) {
		this.#bytes = bytes as Uint8Array<ArrayBuffer>;
		this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
	}

	*fields(): Generator<ProtoField> {
		while (this.#at < this.#bytes.length) {
			const tag = this.#varint();
			const field = Number(tag >> 3n);
			if (field === 0) throw new RangeError("field 0");
			yield this.#value(field, Number(tag & 7n));
		}
	}

	#value(field: number, wire: number): ProtoField {
		const none = { field, int: () => wrongType(field), float: () => wrongType(field), bytes: () => wrongType(field) };
		if (wire === 0) {
			const value = Number(BigInt.asIntN(32, this.#varint()));
			return { ...none, int: () => value };
		}
		if (wire === 1) {
			this.#take(8);
			return none;
		}
		if (wire === 2) {
			const length = Number(this.#varint());
			const start = this.#take(length);
			return { ...none, bytes: () => this.#bytes.subarray(start, start + length) };
		}
		if (wire === 5) {
			const start = this.#take(4);
			return { ...none, float: () => this.#view.getFloat32(start, true) };
		}
		throw new RangeError(`wire type ${wire}`);
	}

	#take(length: number): number {
		const start = this.#at;
		if (start + length > this.#bytes.length) throw new RangeError("the message ends early");
		this.#at += length;
		return start;
	}

	#varint(): bigint {
		let value = 0n;
		for (let shift = 0n; shift < 70n; shift += 7n) {
			const byte = this.#bytes[this.#take(1)];
			value |= BigInt(byte & 127) << shift;
			if (byte < 128) return value;
		}
		throw new RangeError("a number of more than ten bytes");
	}
}
