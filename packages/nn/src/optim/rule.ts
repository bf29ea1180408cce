import {
	type BufferSpec,
	contiguous,
	defineKernel,
	definePrimitive,
	inRuns,
	type KernelFamily,
	type NdArray,
	type Primitive,
	RUN,
	RUN_PARAMS,
	reads,
	runsOf,
	wgsl,
	writes,
} from "@hushgrad/tensor/author";

/** The update rule of an optimiser, as one formula for a coordinate. */
export interface RuleSpec<S extends string, N extends string> {
	readonly name: string;
	/** Vectors beside the parameters that the rule carries on, such as moments. */
	readonly state: readonly S[];
	/** Numbers of a step, the same for all coordinates; read from the device, so that a captured step can take new ones. */
	readonly numbers: readonly N[];
	/**
	 * WGSL: the numbers are f32 variables, and so are `w`, `g` and the state, or vectors of them: what it calls must take both. It assigns w
	 * and the state.
	 */
	readonly update: string;
	/** The same in float64: the new w, then the new state in order. */
	readonly reference: (v: Readonly<Record<S | N | "w" | "g", number>>) => readonly number[];
	/** How the tests draw the state (moments of second order are not negative) and the numbers. */
	readonly draw: Readonly<Partial<Record<S, readonly [number, number]>>>;
}

export interface Rule {
	readonly primitive: Primitive;
	readonly kernel: KernelFamily;
	/** The vectors that it carries on beside the parameters. */
	readonly stateNames: readonly string[];
	/** How many numbers a step has. */
	readonly count: number;
}

/**
 * An update rule as an operation in place, in pieces where a vector exceeds one storage binding: w `[P]`, the state, g `[P]`,
 * numbers `[count]` → w and the state.
 */
export function defineRule<S extends string, N extends string>(spec: RuleSpec<S, N>): Rule {
	const { name, state, numbers, update } = spec;
	const vectors = ["w", ...state];
	const kernel = defineKernel(name, ({ lanes }: { lanes: 1 | 4 }) => {
		const four = lanes === 4 ? "4" : "";
		return {
			params: RUN_PARAMS,
			buffers: {
				g: reads("f32", lanes),
				numbers: reads("f32"),
				...Object.fromEntries(vectors.map((v): [string, BufferSpec] => [v, writes("f32", lanes)])),
			},
			workgroup: RUN,
			body: wgsl`
${numbers.map((n, i) => `let ${n} = numbers_at(${i}u);`).join(" ")}
${inRuns(`let g = g_at${four}(at);
  ${vectors.map((v) => `var ${v}_ = ${v}_at${four}(at);`).join(" ")}
  ${update.replace(new RegExp(`\\b(${vectors.join("|")})\\b`, "g"), "$1_")}
  ${vectors.map((v) => `${v}_set${four}(at, ${v}_);`).join(" ")}`)}`,
		};
	});
	const signature: string = `${vectors.map((v) => `${v}![P]`).join(", ")}, g![P], numbers![${numbers.length}] -> ${vectors.map((v) => `${v}[P]`).join(", ")}`;
	const primitive = definePrimitive({
		name,
		signature,
		attrs: {},
		forward: ({ runtime, inputs }) => {
			const names = [...vectors, "g"];
			const pieces = names.map((name) => contiguous(inputs[name]).pieces);
			const numbers = contiguous(inputs.numbers);
			pieces[0].forEach(({ size }, i) => {
				const parts = Object.fromEntries(vectors.map((name, k) => [name, pieces[k][i]]));
				const lanes = [size, ...pieces.map((p) => p[i].offset)].every((v) => v % 4 === 0) ? 4 : 1;
				const { params, invocations } = runsOf(runtime.device.plan, size / lanes);
				kernel.of({ lanes }).run({ ...parts, g: pieces[vectors.length][i], numbers }, params, invocations);
			});
			return [];
		},
		grad: Object.fromEntries([...vectors, "g", "numbers"].map((v) => [v, "none" as const])),
		reference: (inputs) => {
			const scalars = Object.fromEntries(numbers.map((n, i) => [n, inputs.numbers.data[i]]));
			const at = (i: number) => Object.fromEntries([...vectors, "g"].map((v) => [v, inputs[v].data[i]]));
			const rows = [...inputs.w.data.keys()].map((i) => spec.reference({ ...scalars, ...at(i) } as Record<S | N | "w" | "g", number>));
			return vectors.map((_, v): NdArray => ({ data: Float64Array.from(rows, (row) => row[v]), shape: inputs.w.shape }));
		},
		test: {
			bound: { abs: 2e-5, ulp: 24, why: "a few products and a quotient of numbers of size 2" },
			domains: {
				numbers: { range: [0.1, 0.9] },
				...Object.fromEntries(Object.entries(spec.draw).map(([s, range]) => [s, { range: range as [number, number] }])),
			},
		},
	});
	return { primitive, kernel, stateNames: state, count: numbers.length };
}
