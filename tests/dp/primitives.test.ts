import { testPrimitives } from "../support/primitiveSuite.ts";
import { registries } from "../support/registry.ts";

testPrimitives(registries.dp.primitives);
