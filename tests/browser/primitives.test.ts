import { testPrimitives } from "../support/primitiveSuite.ts";
import { primitives } from "../support/registry.ts";

testPrimitives(primitives());
