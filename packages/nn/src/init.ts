import { type Device, type Key, normal, uniform, zeros } from "@hushgrad/tensor";
import type { Parameter } from "./parameter.ts";

/**
 * Fills a weight `[..., in]` with U(−1/√in, 1/√in), drawn on the host: Kaiming uniform with a = √5, torch's default for linear
 * layers (He et al. 2015). torch gives a bias the bound of its weight, which this function, seeing the bias alone, does not.
 * @throws ShapeError for an `NF4Parameter`.
 */
export function kaimingUniform(device: Device, p: Parameter, key: Key): void {
	const bound = 1 / Math.sqrt(p.shape[p.shape.length - 1]);
	p.assign(uniform(device, p.shape, key, { low: -bound, high: bound }));
}

/**
 * Fills a parameter with N(0, std²), drawn on the host.
 * @throws ShapeError for an `NF4Parameter`.
 */
export function normalInit(device: Device, p: Parameter, key: Key, std: number): void {
	p.assign(normal(device, p.shape, key, { std }));
}

/**
 * Fills a parameter with zeros.
 * @throws ShapeError for an `NF4Parameter`.
 */
export function zerosInit(device: Device, p: Parameter): void {
	p.assign(zeros(device, p.shape));
}
