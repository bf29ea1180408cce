import { runOf } from "./vitest.base.ts";
import { browser } from "./vitest.browser.config.ts";
import { onDevice } from "./vitest.config.ts";
import { swiftshader } from "./vitest.swiftshader.config.ts";

/** What is tested on the machine's own device, on SwiftShader and in Chromium, side by side: each leaves cores idle that another takes. */
export default runOf(...onDevice, ...swiftshader, ...browser);
