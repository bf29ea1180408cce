import { type Device, foldIn, full, type Key, normal, type Shape, ShapeError, uniform, uniformValues, ValueError } from "@hushgrad/tensor";
import { checkShape, expects, named, oneOf, optional, optionsOf, showShape } from "@hushgrad/tensor/author";
import { MODULE, type Module } from "./module.ts";
import { PARAMETER, type Parameter } from "./parameter.ts";

const FILLED = { device: "device", p: PARAMETER } as const;
const DRAWN = { ...FILLED, key: "key" } as const;

/** Inputs and outputs of one unit of a weight `[out, in, ...kernel]`. @throws ShapeError for a vector. */
function fans(op: string, shape: Shape): { readonly fanIn: number; readonly fanOut: number } {
	if (shape.length < 2) {
		throw new ShapeError("init/fans", `${op}: a parameter ${showShape(shape)} has no inputs and outputs`, {
			hint: "it takes weights [out, in, ...]",
		});
	}
	const field = shape.slice(2).reduce((n, d) => n * d, 1);
	return { fanIn: shape[1] * field, fanOut: shape[0] * field };
}

/** Options of `kaimingUniform` and `kaimingNormal`. */
export interface KaimingOptions {
	/** Slope below 0 of the leaky ReLU that follows; √5 when left out, the value torch's layers draw with. 0 is ReLU. */
	readonly a?: number | undefined;
	/** Whose variance is kept: that of activations ("fanIn", when left out) or of gradients ("fanOut"). */
	readonly mode?: "fanIn" | "fanOut" | undefined;
}

/** √(2 / (1 + a²) / fan), the standard deviation that Kaiming's rule asks for. */
function kaimingStd(op: string, { shape }: Parameter, options: KaimingOptions, slope: number): number {
	const { a = slope, mode = "fanIn" } = optionsOf(op, options, { a: "number?", mode: optional(oneOf("fanIn", "fanOut")) });
	return Math.sqrt(2 / (1 + a * a) / fans(op, shape)[mode]);
}

/**
 * Fills a weight `[out, in, ...]` with U(−b, b), b = √(6 / (1 + a²) / fan), drawn on the host: torch's kaiming_uniform_. With a = √5, when
 * left out, b is 1/√fan, the default of torch's layers. Source: He et al. 2015.
 * @throws ShapeError for a vector, and for an `NF4Parameter`.
 */
export const kaimingUniform = named("kaimingUniform", (device: Device, p: Parameter, key: Key, options: KaimingOptions = {}): void => {
	expects("kaimingUniform", { device, p, key }, DRAWN);
	const bound = Math.sqrt(3) * kaimingStd("kaimingUniform", p, options, Math.sqrt(5));
	uniformInit(device, p, key, -bound, bound);
});

/**
 * Fills a weight `[out, in, ...]` with N(0, 2 / (1 + a²) / fan), drawn on the host: torch's kaiming_normal_, whose a is 0 when left out.
 * Source: He et al. 2015.
 * @throws ShapeError for a vector, and for an `NF4Parameter`.
 */
export const kaimingNormal = named("kaimingNormal", (device: Device, p: Parameter, key: Key, options: KaimingOptions = {}): void => {
	expects("kaimingNormal", { device, p, key }, DRAWN);
	normalInit(device, p, key, kaimingStd("kaimingNormal", p, options, 0));
});

/** Options of `xavierUniform` and `xavierNormal`. */
export interface XavierOptions {
	/** Factor; 1 when left out. */
	readonly gain?: number | undefined;
}

/** √(2 / (fanIn + fanOut)) times the gain. */
function xavierStd(op: string, { shape }: Parameter, options: XavierOptions): number {
	const { gain = 1 } = optionsOf(op, options, { gain: "number?" });
	const { fanIn, fanOut } = fans(op, shape);
	return gain * Math.sqrt(2 / (fanIn + fanOut));
}

/**
 * Fills a weight `[out, in, ...]` with U(−b, b), b = gain √(6 / (fan in + fan out)), drawn on the host: torch's xavier_uniform_. Source:
 * Glorot and Bengio 2010.
 * @throws ShapeError for a vector, and for an `NF4Parameter`.
 */
export const xavierUniform = named("xavierUniform", (device: Device, p: Parameter, key: Key, options: XavierOptions = {}): void => {
	expects("xavierUniform", { device, p, key }, DRAWN);
	const bound = Math.sqrt(3) * xavierStd("xavierUniform", p, options);
	uniformInit(device, p, key, -bound, bound);
});

/**
 * Fills a weight `[out, in, ...]` with N(0, gain² 2 / (fan in + fan out)), drawn on the host: torch's xavier_normal_. Source: Glorot and
 * Bengio 2010.
 * @throws ShapeError for a vector, and for an `NF4Parameter`.
 */
export const xavierNormal = named("xavierNormal", (device: Device, p: Parameter, key: Key, options: XavierOptions = {}): void => {
	expects("xavierNormal", { device, p, key }, DRAWN);
	normalInit(device, p, key, xavierStd("xavierNormal", p, options));
});

/**
 * Fills a parameter with U(low, high), drawn on the host.
 * @throws ShapeError for an `NF4Parameter`, ValueError unless low ≤ high.
 */
export const uniformInit = named("uniformInit", (device: Device, p: Parameter, key: Key, low: number = 0, high: number = 1): void => {
	expects("uniformInit", { device, p, key, low, high }, { ...DRAWN, low: "number", high: "number" });
	p.assign(uniform(device, p.shape, key, { low, high }));
});

/**
 * Fills a parameter with N(0, std²), drawn on the host.
 * @throws ShapeError for an `NF4Parameter`.
 */
export const normalInit = named("normalInit", (device: Device, p: Parameter, key: Key, std: number): void => {
	expects("normalInit", { device, p, key, std }, { ...DRAWN, std: "number" });
	p.assign(normal(device, p.shape, key, { std }));
});

/** Options of `truncNormalInit`. */
export interface TruncNormalOptions {
	/** Mean before the ends are cut off; 0 when left out. */
	readonly mean?: number | undefined;
	/** Standard deviation before the ends are cut off; 1 when left out. */
	readonly std?: number | undefined;
	/** Least value; −2 when left out, whatever `std`, as in torch. */
	readonly low?: number | undefined;
	/** Largest value; 2 when left out. */
	readonly high?: number | undefined;
}

/**
 * Fills a parameter with normal values within low to high, drawn on the host by rejection: torch's trunc_normal_.
 * @throws ShapeError for an `NF4Parameter`, ValueError unless low < high and std is above 0.
 */
export function truncNormalInit(device: Device, p: Parameter, key: Key, options: TruncNormalOptions = {}): void {
	expects("truncNormalInit", { device, p, key }, DRAWN);
	const kinds = { mean: "number?", std: "number?", low: "number?", high: "number?" } as const;
	const { mean = 0, std = 1, low = -2, high = 2 } = optionsOf("truncNormalInit", options, kinds);
	checkShape("truncNormalInit", p.shape);
	const [a, b] = [(low - mean) / std, (high - mean) / std];
	if (!(a < b && std > 0)) {
		throw new ValueError("init/range", `truncNormalInit: std ${std} within ${low}..${high}`, { hint: "low < high, std above 0" });
	}
	// The density against its largest value, that at `top`, where it is above e^(-7² / 2) of it: beyond f32 draws have nothing.
	const top = Math.max(a, Math.min(b, 0));
	const [from, to] = [Math.max(a, -Math.hypot(Math.min(top, 0), 7)), Math.min(b, Math.hypot(Math.max(top, 0), 7))];
	const values = new Float32Array(p.size);
	let filled = 0;
	for (let round = 0; filled < p.size; round++) {
		const draws = uniformValues(foldIn(key, round), 2 * Math.max(64, p.size));
		for (let i = 0; i < draws.length && filled < p.size; i += 2) {
			const z = from + (to - from) * draws[i];
			const density = Math.exp(((top - z) * (top + z)) / 2);
			if (!(draws[i + 1] >= density)) values[filled++] = Math.min(high, Math.max(low, mean + std * z));
		}
	}
	p.assign(device.fromHost(values, p.shape));
}

/**
 * Fills a parameter with one number.
 * @throws ShapeError for an `NF4Parameter`.
 */
export const constantInit = named("constantInit", (device: Device, p: Parameter, value: number): void => {
	expects("constantInit", { device, p, value }, { ...FILLED, value: "number" });
	p.assign(full(device, p.shape, value));
});

/**
 * Fills a parameter with ones.
 * @throws ShapeError for an `NF4Parameter`.
 */
export const onesInit = named("onesInit", (device: Device, p: Parameter): void => constantInit(device, p, 1));

/**
 * Fills a parameter with zeros.
 * @throws ShapeError for an `NF4Parameter`.
 */
export const zerosInit = named("zerosInit", (device: Device, p: Parameter): void => constantInit(device, p, 0));

/** A module that can draw its own parameters: torch's reset_parameters. */
interface Resettable extends Module {
	resetParameters(device: Device, key: Key): void;
}

const isResettable = (m: Module): m is Resettable => "resetParameters" in m && typeof m.resetParameters === "function";

/**
 * Gives every parameter of a model its start, by the `resetParameters` of its modules, which draw as torch's do; each module has a key
 * of its own.
 * @throws ValueError when a parameter belongs to a module without `resetParameters` and has no value yet.
 */
export function initialize(model: Module, device: Device, key: Key): void {
	expects("initialize", { model, device, key }, { model: MODULE, device: "device", key: "key" });
	[...model.namedModules()].forEach(([, module], i) => {
		if (isResettable(module)) module.resetParameters(device, foldIn(key, i));
	});
	const empty = [...model.namedParameters()].flatMap(([name, p]) => (p.hasValue ? [] : [name]));
	if (empty.length === 0) return;
	throw new ValueError("init/left", `initialize: nothing gives ${empty.join(", ")} a value`, {
		hint: "fill them first, or give their module a resetParameters(device, key)",
	});
}
