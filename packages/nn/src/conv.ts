import { type Conv2dOptions, conv1d, conv2d, type Device, type Key, type Pair, type Tensor, ValueError } from "@hushgrad/tensor";
import { expects, isCount, type Kind, optional, optionsOf } from "@hushgrad/tensor/author";
import { resetWeights } from "./linear.ts";
import { Module } from "./module.ts";
import { Parameter } from "./parameter.ts";

/** How the windows of a convolution lie, and whether it has a bias. */
export interface ConvOptions<P extends Pair = Pair> {
	/** Positions from one window to the next; 1 when left out. */
	readonly stride?: P | undefined;
	/** Zeros on both sides; 0 when left out. */
	readonly padding?: P | undefined;
	/** Positions from one element of a window to the next; 1 when left out. */
	readonly dilation?: P | undefined;
	/** Groups of channels that are convolved apart; 1 when left out. */
	readonly groups?: number | undefined;
	/** Whether there is a bias; true when left out, as in torch. */
	readonly bias?: boolean | undefined;
}

const COUNT: Kind = [isCount, "a whole number, zero or more"];
const PAIR: Kind = [(v) => isCount(v) || (Array.isArray(v) && v.length === 2 && v.every(isCount)), `${COUNT[1]}, or a list of two`];

/** What convolutions have in common: a weight, a bias, and how their windows lie. */
abstract class Convolution<P extends Pair> extends Module {
	/** W `[out, in / groups, ...kernel]`. */
	readonly weight: Parameter;
	/** b `[out]`; undefined for a layer without bias. */
	readonly bias: Parameter | undefined;
	/** How the windows lie. */
	readonly options: Omit<ConvOptions<P>, "bias">;

	constructor(layer: string, inChannels: number, outChannels: number, kernel: readonly number[], options: ConvOptions<P>) {
		super();
		expects(layer, { inChannels, outChannels, kernel }, { inChannels: "count", outChannels: "count", kernel: "shape" });
		const windows = optional(kernel.length === 1 ? COUNT : PAIR);
		const { bias = true, ...geometry } = optionsOf(layer, options, {
			...{ stride: windows, padding: windows, dilation: windows },
			...{ groups: "count?", bias: "flag?" },
		});
		const { groups = 1 } = geometry;
		if (inChannels % groups !== 0 || outChannels % groups !== 0) {
			throw new ValueError("conv/groups", `${layer}: ${groups} groups do not divide ${inChannels} and ${outChannels} channels`, {
				op: layer,
			});
		}
		this.weight = new Parameter([outChannels, inChannels / groups, ...kernel]);
		this.bias = bias ? new Parameter([outChannels]) : undefined;
		this.options = geometry;
	}

	/** Draws W and b from U(−1/√fan, 1/√fan), fan = in / groups · kernel, as torch does. */
	resetParameters(device: Device, key: Key): void {
		resetWeights(this.constructor.name, device, key, this.weight, this.bias);
	}

	override extraRepr(): string {
		const [out, own, ...kernel] = this.weight.shape;
		const { groups = 1, ...rest } = this.options;
		const given = Object.entries({ ...rest, ...(groups === 1 ? {} : { groups }) });
		const more = given.map(([name, v]) => (v === undefined ? "" : `, ${name}=${shown(v)}`));
		return `${own * groups}, ${out}, kernel_size=${shown(kernel)}${more.join("")}${this.bias === undefined ? ", bias=False" : ""}`;
	}
}

const shown = (v: number | readonly number[]): string => (typeof v === "number" ? `${v}` : `(${v.join(", ")}${v.length === 1 ? "," : ""})`);

/** Convolution over the last axis, torch's Conv1d: `x [..., in, L] → [..., out, P]`; one record is `[in, L]`. */
export class Conv1d extends Convolution<number> {
	/** `kernel` is the number of positions of a window. Without values: a checkpoint or an initialiser gives them. */
	constructor(inChannels: number, outChannels: number, kernel: number, options: ConvOptions<number> = {}) {
		super("Conv1d", inChannels, outChannels, [kernel], options);
	}

	/**
	 * `x [..., in, L] → [..., out, P]`.
	 * @throws ValueError before the weight has values, ShapeError when the channels differ or no window fits.
	 */
	forward(x: Tensor): Tensor {
		return conv1d(x, this.weight.value, { ...this.options, bias: this.bias?.value });
	}
}

/** Convolution over the last two axes, torch's Conv2d: `x [..., in, H, W] → [..., out, P, Q]`; one record is `[in, H, W]`. */
export class Conv2d extends Convolution<Pair> {
	/** `kernel` is rows and columns of a window, or one number for both. Without values: a checkpoint or an initialiser gives them. */
	constructor(inChannels: number, outChannels: number, kernel: Pair, options: ConvOptions = {}) {
		super("Conv2d", inChannels, outChannels, typeof kernel === "number" ? [kernel, kernel] : kernel, options);
	}

	/**
	 * `x [..., in, H, W] → [..., out, P, Q]`.
	 * @throws ValueError before the weight has values, ShapeError when the channels differ or no window fits.
	 */
	forward(x: Tensor): Tensor {
		const options: Conv2dOptions = { ...this.options, bias: this.bias?.value };
		return conv2d(x, this.weight.value, options);
	}
}
