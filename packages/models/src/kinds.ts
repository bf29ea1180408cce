import { Module } from "@hushgrad/nn";
import { instanceOf, type Kind } from "@hushgrad/tensor/author";

/** What is a model. */
export const MODULE: Kind = instanceOf(Module, "a Module");
