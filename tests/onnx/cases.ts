import { readFileSync } from "node:fs";
import { SafetensorsReader, toFloat32 } from "@hushgrad/nn";
import { type Device, type DType, data, type HostArray, type Tensor } from "@hushgrad/tensor";
import { goldenJson, goldenPath } from "../support/goldens.ts";
import type { Attribute, Call } from "./call.ts";
import { OPERATORS } from "./evaluator.ts";
import { type Tolerance, toleranceOf } from "./tolerances.ts";

interface Slot {
	/** Empty for an input or output that is left out. */
	readonly name: string;
	readonly dtype: DType;
	readonly shape: readonly number[];
}

type StoredAttribute = number | string | readonly number[] | { readonly tensor: string; readonly dtype: DType; readonly shape: number[] };

export interface Case {
	readonly name: string;
	readonly opType: string;
	readonly opset: number;
	readonly attributes: Readonly<Record<string, StoredAttribute>>;
	readonly inputs: readonly Slot[];
	readonly outputs: readonly Slot[];
}

export interface Summary {
	readonly total: number;
	readonly kept: number;
	readonly supported: readonly string[];
	readonly leftOut: Readonly<Record<string, number>>;
	readonly unsupported: Readonly<Record<string, number>>;
}

export const CASES = goldenJson<readonly Case[]>("onnx/cases.json");
export const SUMMARY = goldenJson<Summary>("onnx/summary.json");

/** The bytes of every tensor of the cases. */
export async function readTensors(): Promise<Map<string, Uint8Array>> {
	const path = goldenPath("onnx/cases.safetensors");
	const bytes = new Uint8Array(readFileSync(path));
	const reader = await SafetensorsReader.open({ path, size: bytes.length, read: async (a, b) => bytes.slice(a, b), close: async () => {} });
	const tensors = new Map<string, Uint8Array>();
	for (const name of reader.names()) tensors.set(name, await reader.read(name));
	return tensors;
}

/** Host values; bool has one byte in the file and a word in a tensor. */
function hostValues(bytes: Uint8Array, dtype: DType): HostArray {
	if (dtype === "u8") return bytes;
	if (dtype === "bool") return Uint32Array.from(bytes);
	if (dtype === "i32") return new Int32Array(bytes.buffer);
	if (dtype === "u32") return new Uint32Array(bytes.buffer);
	return toFloat32(bytes, dtype.toUpperCase() as "F32" | "F16" | "BF16");
}

/** The outputs of a case, as its operator computes them on the device. */
function evaluate(device: Device, node: Case, tensors: ReadonlyMap<string, Uint8Array>): readonly (Tensor | undefined)[] {
	const values = (key: string, type: DType): HostArray => hostValues(tensors.get(key) as Uint8Array, type);
	const put = (key: string, { dtype, shape }: { dtype: DType; shape: readonly number[] }): Tensor =>
		device.fromHost(values(key, dtype), shape, dtype);
	const call: Call = {
		device,
		inputs: node.inputs.map((slot, i) => (slot.name === "" ? undefined : put(`${node.name}/input${i}`, slot)) as Tensor),
		numbers: (i) => {
			const slot = node.inputs[i];
			return slot === undefined || slot.name === "" ? undefined : [...values(`${node.name}/input${i}`, slot.dtype)];
		},
		attributes: Object.fromEntries(
			Object.entries(node.attributes).map(([name, a]): [string, Attribute] => [
				name,
				typeof a === "object" && "tensor" in a ? put(a.tensor, a) : a,
			]),
		),
		outputs: node.outputs.length,
	};
	const result = OPERATORS[node.opType](call);
	return Array.isArray(result) ? result : [result as Tensor];
}

/** What is wrong with an output; undefined when nothing is. */
function difference(actual: HostArray, expected: HostArray, { rtol, atol }: Tolerance): string | undefined {
	for (let i = 0; i < expected.length; i++) {
		const [a, e] = [actual[i], expected[i]];
		if (Object.is(a, e) || a === e || Math.abs(a - e) <= atol + rtol * Math.abs(e)) continue;
		return `element ${i} is ${a}, expected ${e}`;
	}
	return undefined;
}

/** Runs a case; what is wrong with its outputs, or the error, or undefined when it passes. */
export async function failureOf(device: Device, node: Case, tensors: ReadonlyMap<string, Uint8Array>): Promise<string | undefined> {
	let outputs: readonly (Tensor | undefined)[];
	try {
		outputs = device.scope(() => evaluate(device, node, tensors));
	} catch (error) {
		return String(error);
	}
	const problems: string[] = [];
	for (const [i, slot] of node.outputs.entries()) {
		if (slot.name === "") continue;
		const y = outputs[i];
		const fail = (what: string): number => problems.push(`output ${i}: ${what}`);
		if (y === undefined) fail("is missing");
		else if (y.dtype !== slot.dtype || y.shape.join() !== slot.shape.join()) {
			fail(`${y.dtype} [${y.shape}], expected ${slot.dtype} [${slot.shape}]`);
		} else {
			const expected = hostValues(tensors.get(`${node.name}/output${i}`) as Uint8Array, slot.dtype);
			const what = difference(await data(y), expected, toleranceOf(node.opType, slot.dtype));
			if (what !== undefined) fail(what);
		}
	}
	for (const y of outputs) y?.dispose();
	return problems.length === 0 ? undefined : problems.join("; ");
}
