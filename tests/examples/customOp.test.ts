import { snakePrimitive } from "../../examples/custom-op.ts";
import { testPrimitives } from "../support/primitiveSuite.ts";

/* An operation defined outside the library passes what every built-in one has to pass. */
testPrimitives([snakePrimitive]);
