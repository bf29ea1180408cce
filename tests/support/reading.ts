import { cat, type DType, data, reshape, type Tensor } from "@hushgrad/tensor";

/** Values of tensors, one list a tensor. */
export type Values = readonly ArrayLike<number>[];

/** Types of which a word holds several: `cat` does not take them. */
const PACKED: readonly DType[] = ["bf16", "u8"];

/** Reads tensors and disposes of them. */
export const read = async (tensors: readonly Tensor[]): Promise<Values> => (await readAll([tensors]))[0];

/** Reads lists of tensors and disposes of them: one transfer for all tensors of a type. */
export async function readAll(lists: readonly (readonly Tensor[])[]): Promise<Values[]> {
	const values = new Map<Tensor, ArrayLike<number>>();
	const tensors = [...new Set(lists.flat())];
	for (const dtype of new Set(tensors.map((t) => t.dtype))) {
		const own = tensors.filter((t) => t.dtype === dtype);
		const groups = PACKED.includes(dtype) ? own.map((t) => [t]) : [own];
		for (const group of groups) {
			const flat = group.length === 1 ? group[0] : joined(group);
			const all = await data(flat);
			if (flat !== group[0]) flat.dispose();
			let start = 0;
			for (const t of group) {
				values.set(t, all.subarray(start, start + t.size));
				start += t.size;
			}
		}
	}
	for (const t of tensors) t.dispose();
	return lists.map((list) => list.map((t) => values.get(t) as ArrayLike<number>));
}

const joined = (group: readonly Tensor[]): Tensor => group[0].device.scope<Tensor>(() => cat(group.map((t) => reshape(t, [t.size]))));

/** Entry b of `count` records, of each list. */
export const entry = (all: Values, count: number, b: number): Values =>
	all.map((values) => {
		const width = values.length / count;
		return Array.prototype.slice.call(values, b * width, (b + 1) * width);
	});
