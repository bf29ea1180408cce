import { drawnNF4 } from "../suite/draw.ts";
import type { Attrs } from "../suite/row.ts";
import type { Graph, Node, TypeName, Value } from "./onnx.ts";

export type Shapes = Readonly<Record<string, readonly number[]>>;

/** A graph, and inputs of it that are no inputs of the row. */
export interface RowGraph extends Graph {
	readonly own?: Readonly<
		Record<string, { readonly type: TypeName; readonly shape: readonly number[]; readonly values: Float32Array | Uint8Array | Int32Array }>
	>;
}

const f32 = (name: string, shape: readonly number[]): Value => ({ name, type: "float32", shape });
const i32 = (name: string, shape: readonly number[]): Value => ({ name, type: "int32", shape });
const op = (name: string, inputs: string, output: string, attributes: Node["attributes"] = {}, domain?: string): Node => ({
	op: name,
	inputs: inputs === "" ? [] : inputs.split(" "),
	outputs: [output],
	attributes,
	...(domain === undefined ? {} : { domain }),
});
const scalar = (v: number) => ({ type: "float32", values: [v], shape: [] }) as const;
const axes = (...values: number[]) => ({ type: "int64", values, shape: [values.length] }) as const;
const MICROSOFT = "com.microsoft";

/** One operator of the row's inputs, in order. */
const single =
	(name: string, out: (shapes: Shapes) => readonly number[], attributes: Node["attributes"] = {}) =>
	(shapes: Shapes): RowGraph => ({
		nodes: [op(name, Object.keys(shapes).join(" "), "out", attributes)],
		inputs: Object.entries(shapes).map(([n, s]) => f32(n, s)),
		outputs: [f32("out", out(shapes))],
	});

/** The logarithm of the softmax at the targets, negative. */
const losses = (logits: string): Node[] => [
	op("Softmax", logits, "p", { axis: -1 }),
	op("Log", "p", "logs"),
	op("Unsqueeze", "targets last", "at"),
	op("GatherElements", "logs at", "found", { axis: 1 }),
	op("Squeeze", "found last", "loss"),
	op("Neg", "loss", "y"),
];

/** Graphs of the works that are inference. */
export const GRAPHS: Readonly<Record<string, (shapes: Shapes, attrs: Attrs) => RowGraph>> = {
	matmul: single("MatMul", ({ a, b }) => [a[0], b[1]]),
	linear: single("Gemm", ({ x, w }) => [x[0], w[0]], { transB: 1 }),
	nf4: ({ x }, { n, k }) => {
		const [N, K] = [Number(n), Number(k)];
		const { packed, scales } = drawnNF4(N, K);
		return {
			nodes: [op("MatMulBnb4", "x codes scales", "y", { K, N, block_size: 64, quant_type: 1 }, MICROSOFT)],
			inputs: [f32("x", x), { name: "codes", type: "uint8", shape: [packed.length] }, f32("scales", [scales.length])],
			outputs: [f32("y", [x[0], N])],
			own: {
				codes: { type: "uint8", shape: [packed.length], values: packed },
				scales: { type: "float32", shape: [scales.length], values: scales },
			},
		};
	},
	softmax: single("Softmax", ({ x }) => x, { axis: -1 }),
	layerNorm: single("LayerNormalization", ({ x }) => x, { axis: -1, epsilon: 1e-5 }),
	rmsNorm: single("SimplifiedLayerNormalization", ({ x }) => x, { axis: -1, epsilon: 1e-6 }),
	rope: ({ x, cos, sin }) => ({
		nodes: [op("RotaryEmbedding", "x positions cos sin", "y", { interleaved: 0 }, MICROSOFT)],
		inputs: [f32("x", x), f32("cos", cos), f32("sin", sin)],
		outputs: [f32("y", x)],
		constants: { positions: axes(0) },
	}),
	attention: ({ q, k, v }) => {
		const [t, width] = q.slice(2);
		const mask = Array.from({ length: t * t }, (_, i) => (i % t <= Math.floor(i / t) ? 0 : -1e9));
		return {
			nodes: [
				op("Transpose", "k", "kt", { perm: [0, 1, 3, 2] }),
				op("MatMul", "q kt", "scores"),
				op("Mul", "scores scale", "scaled"),
				op("Add", "scaled mask", "masked"),
				op("Softmax", "masked", "p", { axis: -1 }),
				op("MatMul", "p v", "y"),
			],
			inputs: [f32("q", q), f32("k", k), f32("v", v)],
			outputs: [f32("y", q)],
			constants: { scale: scalar(width ** -0.5), mask: { type: "float32", values: mask, shape: [t, t] } },
		};
	},
	crossEntropy: ({ logits, targets }) => ({
		nodes: losses("logits"),
		inputs: [f32("logits", logits), i32("targets", targets)],
		outputs: [f32("y", targets)],
		constants: { last: axes(1) },
	}),
	linearCrossEntropy: ({ x, w, targets }) => ({
		nodes: [op("Gemm", "x w", "logits", { transB: 1 }), ...losses("logits")],
		inputs: [f32("x", x), f32("w", w), i32("targets", targets)],
		outputs: [f32("y", targets)],
		constants: { last: axes(1) },
	}),
	sum: ({ x }, { axis }) => ({
		nodes: [op("ReduceSum", "x axes", "y", { keepdims: 0 })],
		inputs: [f32("x", x)],
		outputs: [f32("y", [x[1 - Number(axis)]])],
		constants: { axes: axes(Number(axis)) },
	}),
	add: single("Add", ({ x }) => x),
	chain: ({ x }) => ({
		nodes: [
			op("Mul", "x c", "1"),
			op("Add", "1 d", "2"),
			op("Tanh", "2", "3"),
			op("Mul", "3 x", "4"),
			op("Abs", "4", "5"),
			op("Add", "5 e", "6"),
			op("Sqrt", "6", "7"),
			op("Sub", "7 x", "y"),
		],
		inputs: [f32("x", x)],
		outputs: [f32("y", x)],
		constants: { c: scalar(1.1), d: scalar(0.5), e: scalar(1) },
	}),
	broadcastChain: ({ x, scale, bias, column }) => ({
		nodes: [
			op("Mul", "x scale", "1"),
			op("Add", "1 bias", "2"),
			op("Mul", "2 column", "3"),
			op("Tanh", "3", "4"),
			op("Mul", "4 scale", "5"),
			op("Add", "5 bias", "6"),
			op("Sub", "x column", "7"),
			op("Max", "6 7", "y"),
		],
		inputs: [f32("x", x), f32("scale", scale), f32("bias", bias), f32("column", column)],
		outputs: [f32("y", x)],
	}),
	embedding: ({ table, ids }) => ({
		nodes: [op("Gather", "table ids", "y", { axis: 0 })],
		inputs: [f32("table", table), i32("ids", ids)],
		outputs: [f32("y", [...ids, table[1]])],
	}),
	adds: ({ x, y }, { count }) => {
		const n = Number(count);
		return {
			nodes: Array.from({ length: n }, (_, i) => op("Add", `${i === 0 ? "x" : i} y`, i === n - 1 ? "z" : String(i + 1))),
			inputs: [f32("x", x), f32("y", y)],
			outputs: [f32("z", x)],
		};
	},
};
