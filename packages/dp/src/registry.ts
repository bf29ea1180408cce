import { collect, type Registry } from "@hushgrad/tensor/registry";
import * as clip from "./clip.ts";

/** What this package defines. */
export const registry: Registry = collect(clip);
