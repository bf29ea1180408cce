import { collect, type Registry } from "@hushgrad/tensor/registry";
import * as adamw from "./optim/adamw.ts";
import * as sgd from "./optim/sgd.ts";
import * as nf4 from "./quant/nf4Linear.ts";

/** What this package defines. */
export const registry: Registry = collect({ ...nf4, ...adamw, ...sgd });
