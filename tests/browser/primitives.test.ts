import { isDrawable, testLinearOps } from "../support/linearSuite.ts";
import { testPrimitives } from "../support/primitiveSuite.ts";
import { linearOps, primitives } from "../support/registry.ts";

testPrimitives(primitives());
testLinearOps(linearOps().filter(isDrawable));
