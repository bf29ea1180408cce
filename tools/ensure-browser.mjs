/**
 * Makes sure that Chromium and SwiftShader are there, the drivers that the tests use beside the machine's own. Installs
 * them by apt on Debian (root or password-less sudo) after a line that says so, or says what to type and fails.
 * HUSHGRAD_NO_INSTALL=1 forbids installing.
 */
import { chromium, swiftShader } from "./browser.mjs";
import { browserPlan } from "./driver-plan.mjs";
import { readFlags } from "./flags.mjs";
import { carryOut, look } from "./install.mjs";

const isThere = () => chromium() !== undefined && swiftShader() !== undefined;

function main() {
	readFlags("npm run browser   installs Chromium, which brings SwiftShader, where it is missing (Debian)", {});
	const plan = browserPlan(look(isThere()));
	if (plan.kind === "none") return 0;
	if (!carryOut("The tests need Chromium and SwiftShader, and one is missing", plan)) return 1;
	if (isThere()) return 0;
	console.error("Chromium or SwiftShader is still not found; name them in HUSHGRAD_CHROMIUM and HUSHGRAD_SWIFTSHADER.");
	return 1;
}

process.exit(main());
