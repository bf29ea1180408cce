// @ts-nocheck: it stands in for a module of other types
/** What tests import from Vitest, for `stryker.runner.mjs`: tests and hooks are collected, expectations and spies are Vitest's own. */
import { ASYMMETRIC_MATCHERS_OBJECT, JestAsymmetricMatchers, JestChaiExpect, JestExtend } from "@vitest/expect";
import { fn, restoreAllMocks, spyOn } from "@vitest/spy";
import * as chai from "chai";

chai.use(JestExtend);
chai.use(JestChaiExpect);
chai.use(JestAsymmetricMatchers);
export const expect = Object.assign((value, message) => chai.expect(value, message), chai.expect, globalThis[ASYMMETRIC_MATCHERS_OBJECT]);

const now = () => globalThis.collecting;
const argumentsOf = (row) => (Array.isArray(row) ? row : [row]);

export const it = (name, ...rest) => {
	const run = rest.find((part) => typeof part === "function");
	const { tests, path, hooks } = now();
	tests.push({ name: [...path, name].join(" "), run: async () => run(), hooks: [...hooks] });
};
it.each = (rows) => (name, run) => rows.forEach((row, i) => it(`${name} (${i})`, () => run(...argumentsOf(row))));
export const test = it;

export const describe = (name, body) => {
	const outer = now();
	globalThis.collecting = { ...outer, path: [...outer.path, name], hooks: [...outer.hooks] };
	body();
	globalThis.collecting = outer;
};
describe.each = (rows) => (name, body) => rows.forEach((row, i) => describe(`${name} (${i})`, () => body(...argumentsOf(row))));

const hook = (kind) => (run) => now().hooks.push({ kind, run });
export const beforeAll = hook("beforeAll");
export const afterAll = hook("afterAll");
export const beforeEach = hook("beforeEach");
export const afterEach = hook("afterEach");

const stubbed = new Map();
export const vi = {
	fn,
	spyOn,
	restoreAllMocks,
	stubGlobal(name, value) {
		if (!stubbed.has(name)) stubbed.set(name, Object.getOwnPropertyDescriptor(globalThis, name));
		Object.defineProperty(globalThis, name, { value, writable: true, configurable: true, enumerable: true });
	},
	unstubAllGlobals() {
		for (const [name, own] of stubbed) {
			if (own === undefined) delete globalThis[name];
			else Object.defineProperty(globalThis, name, own);
		}
		stubbed.clear();
	},
};
