/** The process that makes the calls: `run.ts` starts it, and again behind a call that hangs. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import * as dp from "@hushgrad/dp";
import * as models from "@hushgrad/models";
import * as nn from "@hushgrad/nn";
import * as t from "@hushgrad/tensor";
import { argumentsFor, keyOf, LEFT_OUT, THEN } from "./arguments.ts";
import { INSTANCES } from "./instances.ts";
import { mutate } from "./mutate.ts";
import { readSurface, type Target } from "./surface.ts";
import { makeWorld, type World } from "./world.ts";

/** What came of a call. */
export interface Outcome {
	readonly key: string;
	readonly entry: string;
	readonly change: string;
	/** refused: by an error of the library; raw: by another one. */
	readonly result: "accepted" | "refused" | "raw";
	readonly error?: string | undefined;
	/** The file of the library where a raw error comes from. */
	readonly place?: string | undefined;
	/** Whether the message names what was called, in whichever case: a layer is called as its operation is, GELU as gelu. */
	readonly named?: boolean | undefined;
	readonly leaked: number;
	/** What the device said afterwards. */
	readonly fault?: string | undefined;
	readonly milliseconds: number;
}

export type Message =
	| { readonly start: string; readonly index: number }
	| { readonly outcome: Outcome; readonly index: number }
	| { readonly end: true };

const root = new URL("../../", import.meta.url);
const surface = readSurface(root);
const modules: Readonly<Record<string, object>> = {
	"@hushgrad/tensor": t,
	"@hushgrad/nn": nn,
	"@hushgrad/dp": dp,
	"@hushgrad/models": models,
};

/** Whether a program can reach it: a class may be exported as a type alone. */
const isReachable = ({ entry, owner }: Target): boolean => owner === undefined || owner in modules[entry] || owner in INSTANCES;

/** What is called: everything but what is left out, each once; of all packages, or of one. */
export function targetsOf(entry = ""): Target[] {
	const isSame = (x: Target, y: Target): boolean => x.entry === y.entry && keyOf(x) === keyOf(y);
	return surface.targets.filter(
		(x, i, all) => x.entry.endsWith(entry) && isReachable(x) && !(keyOf(x) in LEFT_OUT) && all.findIndex((y) => isSame(x, y)) === i,
	);
}

/** What the functions call that the tables of arguments pass in, and those that their modules are made of. */
const CALLED_INSIDE: readonly (string | undefined)[] = ["sin", "square", "sum", "ones", "own", "linear", "relu"];

/**
 * Whether an error names what was called: its text begins with the name, that of the class of a method or constructor, or both,
 * in whichever case: a layer is called as its operation is, GELU as gelu. Where a function is passed in, or a module made of one, what
 * that calls may name itself.
 */
function isNamed({ owner, name, parameters }: Target, self: unknown, error: t.HushgradError): boolean {
	const first = error.message.split(":")[0].toLowerCase();
	const classes = [owner, (self as object | undefined)?.constructor?.name];
	if ([name, ...classes, ...classes.map((c) => `${c}.${name}`)].some((n) => n?.toLowerCase() === first)) return true;
	const isOurs = parameters.some((p) => /=>|^CustomVjp$|^Encode|^Loss/.test(p.type)) || owner === "Module" || owner === "Sequential";
	return isOurs && CALLED_INSIDE.includes(error.op);
}

/** Uniform numbers by seed and number. */
export function numbers(seed: number, index: number): () => number {
	let k = t.foldIn(t.key(seed), Math.abs(index));
	return () => {
		k = t.foldIn(k, 1);
		return k.k0 / 2 ** 32;
	};
}

async function called(
	w: World,
	target: Target,
	self: unknown,
	args: readonly unknown[],
	then: readonly unknown[] | undefined,
): Promise<unknown> {
	const module = modules[target.entry] as Record<string, (...a: unknown[]) => unknown>;
	const { name, kind } = target;
	const run = (): unknown => {
		if (kind === "constructor") return Reflect.construct(module[name], args);
		const result = kind === "function" ? module[name](...args) : (self as Record<string, (...a: unknown[]) => unknown>)[name](...args);
		if (then !== undefined && typeof result === "function") return (result as (...a: unknown[]) => unknown)(...then);
		return result;
	};
	const held = target.isAsync ? { result: isLate(run()) } : w.foreign.scope(() => w.device.scope(() => ({ result: isLate(run()) })));
	return settled(held.result);
}

/** Hides a promise from the scope, which would refuse it. */
const isLate = (value: unknown): { readonly late: () => unknown } => ({ late: () => value });

async function settled({ late }: { readonly late: () => unknown }): Promise<unknown> {
	const value = await late();
	if (typeof value !== "object" || value === null) return value;
	if (Symbol.asyncIterator in value) {
		const stream = (value as AsyncIterable<unknown>)[Symbol.asyncIterator]();
		const { value: first } = await stream.next();
		await stream.return?.(undefined);
		return first;
	}
	if (/Generator\]$/.test(Object.prototype.toString.call(value))) return [...(value as Iterable<unknown>)].slice(0, 100);
	return value;
}

/** Releases what a value holds. */
function release(value: unknown, w: World, depth = 0): void {
	if (depth > 4 || typeof value !== "object" || value === null) return;
	if (value instanceof t.Device) {
		if (value !== w.device && value !== w.foreign) value.destroy();
	} else if (typeof (value as { dispose?: unknown }).dispose === "function") {
		try {
			(value as { dispose(): void }).dispose();
		} catch {}
	} else
		for (const v of value instanceof Map ? value.values() : Array.isArray(value) ? value : Object.values(value)) release(v, w, depth + 1);
}

const placeOf = (error: unknown): string | undefined =>
	/packages\/(\w+\/src\/[\w./]+?\.ts):(\d+)/.exec((error as Error)?.stack ?? "")?.[0].replace("packages/", "");

async function oneCall(w: World, targets: readonly Target[], seed: number, index: number, tell: (text: string) => void): Promise<Outcome> {
	const r = numbers(seed, index);
	const target = targets[(Math.abs(index) * 7919) % targets.length];
	const isPlain = index < 0;
	const key = keyOf(target);
	const before = w.device.memory().liveBytes + w.foreign.memory().liveBytes;
	const started = performance.now();
	let change = "nothing";
	let outcome: Pick<Outcome, "result" | "error" | "place" | "named"> = { result: "accepted" };
	const owned: unknown[] = [];
	let self: unknown;
	try {
		const args = await argumentsFor(w, target, surface);
		const then = THEN[key]?.(w);
		owned.push(args.slice(), then);
		const all = [...args, ...(then ?? [])];
		const parameters = [
			...target.parameters.slice(0, then === undefined ? undefined : args.length),
			...(then ?? []).map((_, i) => ({ name: `x${i}`, type: "Tensor", optional: false, rest: false })),
		];
		if (!isPlain) change = mutate(all, parameters, surface, w, r);
		const own = then === undefined ? all : all.slice(0, args.length);
		owned.push(all);
		const owner = target.owner as string;
		self = target.kind === "method" ? await INSTANCES[owner]?.(w) : (modules[target.entry] as Record<string, unknown>)[owner];
		owned.push(self);
		tell(`${key}: ${change}`);
		const result = await called(w, target, self, own, then && all.slice(args.length));
		owned.push(result);
	} catch (error) {
		const isOurs = error instanceof t.HushgradError;
		const text = error instanceof Error ? `${error.name}: ${error.message.split("\n")[0]}` : String(error);
		const named = isOurs && isNamed(target, self, error);
		outcome = { result: isOurs ? "refused" : "raw", error: text, place: placeOf(error), named };
	}
	for (const x of owned) release(x, w);
	w.reset();
	let fault: string | undefined;
	try {
		await w.device.flush();
	} catch (error) {
		if (!(error instanceof t.NumericError)) fault = String(error);
	}
	const leaked = w.device.memory().liveBytes + w.foreign.memory().liveBytes - before;
	return { key, entry: target.entry, change, ...outcome, leaked, fault, milliseconds: performance.now() - started };
}

async function main(): Promise<void> {
	const [seed, from, to] = process.argv.slice(2, 5).map(Number);
	const targets = targetsOf(process.argv[5]);
	const folder = mkdtempSync(join(tmpdir(), "hushgrad-fuzz-"));
	process.chdir(folder); // files that a call writes land here
	console.log = () => {};
	const w = await makeWorld(fileURLToPath(root));
	process.on("unhandledRejection", () => {});
	for (let index = from; index < to; index++) {
		const outcome = await oneCall(w, targets, seed, index, (start) => process.send?.({ start, index } satisfies Message));
		process.send?.({ outcome, index } satisfies Message);
	}
	const three = await t.item(t.sum(t.tensor(w.device, [1, 2])));
	if (three !== 3) throw new Error(`the device computes 1 + 2 = ${three}`);
	for (const path of [folder, w.folder]) rmSync(path, { recursive: true, force: true });
	process.send?.({ end: true } satisfies Message, () => process.exit(0));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main();
