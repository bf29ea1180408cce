import { gradOf, ofScalar, type ValueAndGrad, vjpOf, type WithAux } from "./autograd.ts";
import { runtimeOf } from "./device.ts";
import { FLOATS } from "./dtype.ts";
import { ShapeError } from "./errors.ts";
import { expects } from "./expects.ts";
import { checkType } from "./ops/arguments.ts";
import { add, mul } from "./ops/binary.ts";
import { eye, full } from "./ops/create.ts";
import { sum } from "./ops/expand.ts";
import { stack } from "./ops/join.ts";
import { slice } from "./ops/slice.ts";
import { reshape } from "./ops/view.ts";
import { sameShape, showShape, sizeOf } from "./shape.ts";
import type { Tensor } from "./tensor.ts";
import { vmap } from "./vmap.ts";

/** One tensor for each of a list. */
type Each<S extends readonly unknown[]> = { [I in keyof S]: Tensor };

/** A function's value, and how fast it changes along a direction: what `jvp` gives. */
export interface ValueAndTangent {
	/** What the function returned. */
	readonly value: Tensor;
	/** J v, of the value's shape, in f32. */
	readonly tangent: Tensor;
}

/**
 * The value of `fn` at `inputs` and J v, J its Jacobian: the change of the value when the inputs move by `tangents`, one for each
 * input, of its shape. As torch.func's and jax's `jvp`. Computed as the gradient of the gradient's pull-back, so `fn` runs twice, must
 * do the same both times, and needs gradient rules that are differentiable; any number of inputs cost one call.
 * @throws ShapeError (`grad/tangent`) when a tangent has not the shape of its input; ValueError as of `valueAndGrad`, `grad/order` among
 * them.
 */
export function jvp<const S extends readonly Tensor[]>(
	fn: (...inputs: { [I in keyof S]: Tensor }) => Tensor,
	inputs: S,
	tangents: { readonly [I in keyof S]: Tensor },
): ValueAndTangent {
	expects("jvp", { fn, inputs, tangents }, { fn: "function", inputs: "tensors", tangents: "tensors" });
	checkTangents("jvp", inputs, tangents);
	return runtimeOf(inputs[0].device).scope(() => {
		const value = fn(...(inputs.slice() as Each<S>));
		expects("jvp", { "the value of fn": value }, { "the value of fn": "tensor" });
		const pulledBack = (v: Tensor): Tensor => dot(vjpOf("jvp", fn, inputs, v).grads, tangents);
		return { value, tangent: gradOf("jvp", pulledBack)(full(value.device, value.shape, 0)) };
	});
}

/** A scalar function's value, gradients and second derivatives along a direction: what `hvp` gives. */
export interface ValueAndHvp<S extends readonly unknown[] = readonly unknown[]> extends ValueAndGrad<S> {
	/** H v: for each input, of its shape, in f32. */
	readonly products: { readonly [I in keyof S]: Tensor };
}

/**
 * The value of a scalar function at `inputs`, its gradients, and H v, H being its Hessian by all inputs together and v the
 * `tangents`, one for each input, of its shape: torch.autograd.functional's `hvp`. The Hessian is never made.
 * @throws ShapeError (`grad/scalar`, `grad/tangent`); ValueError as of `valueAndGrad`.
 */
export function hvp<const S extends readonly Tensor[]>(
	fn: (...inputs: { [I in keyof S]: Tensor }) => Tensor,
	inputs: S,
	tangents: { readonly [I in keyof S]: Tensor },
): ValueAndHvp<S> {
	expects("hvp", { fn, inputs, tangents }, { fn: "function", inputs: "tensors", tangents: "tensors" });
	checkTangents("hvp", inputs, tangents);
	const slots = inputs.map((value) => ({ value }));
	return runtimeOf(inputs[0].device).scope(() => {
		const slope = () => {
			const aux = ofScalar("hvp", () => fn(...(slots.map((s) => s.value) as Each<S>)), slots);
			return { value: dot(aux.grads, tangents), aux };
		};
		const { aux, grads } = ofScalar("hvp", slope, slots) as ValueAndGrad & WithAux<ValueAndGrad>;
		return { value: aux.value, grads: aux.grads as Each<S>, products: grads as Each<S> };
	});
}

/**
 * The Jacobian of a function by its first argument, as a function: all derivatives of y = fn(x, ...rest), of the shape
 * `[...y.shape, ...x.shape]`, as jax's `jacrev`. The gradient passes back once for every element of y, side by side (inside `vmap` one
 * after the other), so it is for small y; `fn` runs more than once and must do the same each time.
 * @throws What `vjp` does, when the returned function is called.
 */
export function jacobian<A extends readonly unknown[]>(fn: (x: Tensor, ...rest: A) => Tensor): (x: Tensor, ...rest: A) => Tensor {
	expects("jacobian", { fn }, { fn: "function" });
	return jacobianOf("jacobian", fn);
}

/** `jacobian` under the name that the user called. */
function jacobianOf<A extends readonly unknown[]>(op: string, fn: (x: Tensor, ...rest: A) => Tensor): (x: Tensor, ...rest: A) => Tensor {
	return (x, ...rest) => {
		expects(op, { x }, { x: "tensor" });
		const runtime = runtimeOf(x.device);
		return runtime.scope(() => {
			const { shape } = runtime.scope(() => {
				const value = fn(x, ...rest);
				expects(op, { "the value of fn": value }, { "the value of fn": "tensor" });
				return { shape: value.shape };
			});
			const n = sizeOf(shape);
			const units = reshape(eye(x.device, n), [n, ...shape]);
			const row = (v: Tensor): Tensor => vjpOf(op, (at: Tensor) => fn(at, ...rest), [x], v).grads[0];
			if (n === 0) return full(x.device, [...shape, ...x.shape], 0);
			const rows =
				runtime.records === undefined
					? vmap(row)(units)
					: stack(Array.from({ length: n }, (_, i) => row(reshape(slice(units, 0, i, i + 1), shape))));
			return reshape(rows, [...shape, ...x.shape]);
		});
	};
}

/**
 * The Hessian of a scalar function by its first argument, as a function: all second derivatives, of the shape
 * `[...x.shape, ...x.shape]`, as jax's `hessian`. For small x; `hvp` gives products with it without making it.
 * @throws What `grad` and `jacobian` do, when the returned function is called.
 */
export function hessian<A extends readonly unknown[]>(fn: (x: Tensor, ...rest: A) => Tensor): (x: Tensor, ...rest: A) => Tensor {
	expects("hessian", { fn }, { fn: "function" });
	return jacobianOf("hessian", gradOf("hessian", fn));
}

/** The sum over a list of <a, b>. */
const dot = (a: readonly Tensor[], b: readonly Tensor[]): Tensor => a.map((g, i) => sum(mul(g, b[i]))).reduce((p, q) => add(p, q));

function checkTangents(op: string, inputs: readonly Tensor[], tangents: readonly Tensor[]): void {
	if (inputs.length !== tangents.length || inputs.length === 0) {
		throw new ShapeError("grad/tangent", `${op}: ${tangents.length} tangents for ${inputs.length} inputs, expected one each`, { op });
	}
	inputs.forEach(({ shape }, i) => {
		checkType(op, tangents[i], FLOATS, `tangents[${i}]`);
		if (sameShape(shape, tangents[i].shape)) return;
		throw new ShapeError("grad/tangent", `${op}: tangent ${i} is ${showShape(tangents[i].shape)}, the input is ${showShape(shape)}`, {
			op,
		});
	});
}
