import { Linear, Module } from "@hushgrad/nn";
import { type Device, data, square, sub, sum, type Tensor, tanh } from "@hushgrad/tensor";
import { goldenJson } from "../support/goldens.ts";

/** What tests/goldens/opacus_steps.py wrote. */
export interface OpacusSteps {
	readonly C: number;
	readonly L: number;
	readonly records: readonly { readonly x: readonly number[]; readonly y: readonly number[] }[];
	readonly start: readonly number[];
	readonly batches: readonly (readonly number[])[];
	readonly noise: readonly (readonly number[])[];
	readonly steps: Readonly<
		Record<string, readonly { readonly norms: readonly number[]; readonly sum: readonly number[]; readonly weights: readonly number[] }[]>
	>;
}
export const golden = goldenJson<OpacusSteps>("opacus_steps.json");

/** The network of the script. */
export class Network extends Module {
	readonly first = new Linear(5, 8, { bias: true });
	readonly second = new Linear(8, 3, { bias: true });

	forward(x: Tensor): Tensor {
		return this.second.call(tanh(this.first.call(x)));
	}

	/** The loss of a record: the sum of squared errors. */
	loss({ x, y }: { readonly x: Tensor; readonly y: Tensor }): Tensor {
		return sum(square(sub(this.call(x), y)));
	}

	/** All weights, in the order of the script. */
	async weights(): Promise<number[]> {
		return (await Promise.all([...this.trainableParameters().values()].map((p) => data(p.value)))).flatMap((v) => [...v]);
	}
}

/** The network with the weights that it starts from. */
export function network(d: Device): Network {
	const net = new Network();
	let at = 0;
	for (const p of net.trainableParameters().values()) {
		p.assign(d.fromHost(golden.start.slice(at, at + p.size), p.shape));
		at += p.size;
	}
	return net;
}

export const encode = (i: number) => ({ x: Float32Array.from(golden.records[i].x), y: Float32Array.from(golden.records[i].y) });
