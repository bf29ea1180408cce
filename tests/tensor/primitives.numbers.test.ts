import { testPrimitives } from "../support/primitiveSuite.ts";
import { numbered } from "../support/registry.ts";

testPrimitives(numbered());
