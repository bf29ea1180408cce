import { testPrimitives } from "../support/primitiveSuite.ts";
import { isElementwise, primitives, registries } from "../support/registry.ts";

testPrimitives(primitives().filter((p) => !isElementwise(p) && !registries.dp.primitives.includes(p)));
