import { type Device, type Key, normal, uniform, zeros } from "@hushgrad/tensor";
import type { Parameter } from "./parameter.ts";

/** Kaiming uniform with a = sqrt(5), PyTorch's default for linear layers: U(-1/sqrt(in), 1/sqrt(in)). */
export function kaimingUniform(device: Device, p: Parameter, key: Key): void {
	const bound = 1 / Math.sqrt(p.shape[p.shape.length - 1]);
	p.assign(uniform(device, p.shape, key, { low: -bound, high: bound }));
}

export function normalInit(device: Device, p: Parameter, key: Key, std: number): void {
	p.assign(normal(device, p.shape, key, { std }));
}

export function zerosInit(device: Device, p: Parameter): void {
	p.assign(zeros(device, p.shape));
}
