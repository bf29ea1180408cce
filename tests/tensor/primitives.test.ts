import { testPrimitives } from "../support/primitiveSuite.ts";
import { isElementwise, primitives } from "../support/registry.ts";

testPrimitives(primitives().filter((p) => !isElementwise(p)));
