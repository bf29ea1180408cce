import { attentions } from "./attention.ts";
import type { Operators } from "./call.ts";
import { elementwise } from "./elementwise.ts";
import { indexing } from "./indexing.ts";
import { nn } from "./nn.ts";
import { reductions } from "./reductions.ts";
import { shapes } from "./shapes.ts";
import { throughWiderTypes } from "./storage.ts";
import { windowed } from "./windows.ts";

/** ONNX operators by the public functions of the tensor package. */
export const OPERATORS: Operators = throughWiderTypes({
	...attentions,
	...elementwise,
	...indexing,
	...nn,
	...reductions,
	...shapes,
	...windowed,
});
