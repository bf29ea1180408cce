import { registry as dp } from "@hushgrad/dp/registry";
import { registry as nn } from "@hushgrad/nn/registry";
import type { LinearOp, Primitive } from "@hushgrad/tensor/author";
import { type Registry, registry as tensor } from "@hushgrad/tensor/registry";

/** What the packages define; a new definition is tested without being named here. */
export const registries: Readonly<Record<string, Registry>> = { tensor, nn, dp };

export const primitives = (): Primitive[] => Object.values(registries).flatMap((r) => r.primitives);
/** The same with numbers in place of operands. */
export const numbered = (): Primitive[] => Object.values(registries).flatMap((r) => r.numbered);
export const linearOps = (): LinearOp[] => Object.values(registries).flatMap((r) => r.linear);

/** Whether all operands broadcast freely: a row of the element-wise tables. */
export const isElementwise = (p: Primitive): boolean => p.signature.inputs.every((o) => o.broadcast && o.axes.length === 0);
