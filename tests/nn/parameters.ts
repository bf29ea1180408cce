import { type Module, Parameter } from "@hushgrad/nn";
import { type Device, foldIn, key, normalValues, type Tensor } from "@hushgrad/tensor";

const sizeOf = (shape: readonly number[]): number => shape.reduce((n, d) => n * d, 1);

/** Tensors of these shapes with normal values from a seed. */
export const uploads = (device: Device, shapes: readonly (readonly number[])[], seed = 0): Tensor[] =>
	shapes.map((shape, i) => device.fromHost(normalValues(foldIn(key(seed), i), sizeOf(shape)), shape));

/** Parameters of these shapes with normal values, named layer.0, layer.1, … */
export function parametersOf(device: Device, shapes: readonly (readonly number[])[], seed = 0): Parameter[] {
	return uploads(device, shapes, seed).map((value, i) => {
		const p = new Parameter(shapes[i]);
		p.name = `layer.${i}`;
		p.assign(value);
		return p;
	});
}

/** Gives every parameter of a model normal values, in whatever format it holds them. */
export function fill<M extends Module>(model: M, device: Device, seed = 0): M {
	for (const [i, [, p]] of [...model.namedParameters()].entries()) p.load(device, normalValues(foldIn(key(seed), i), p.size), "F32");
	return model;
}
