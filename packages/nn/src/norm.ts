import { type AffineOptions, type Device, groupNorm, layerNorm, ShapeError, type Tensor } from "@hushgrad/tensor";
import { type ArgumentKind, expects, optionsOf, sameShape, showShape } from "@hushgrad/tensor/author";
import { onesInit, zerosInit } from "./init.ts";
import { Module } from "./module.ts";
import { Parameter } from "./parameter.ts";

/** Options of `LayerNorm` and `GroupNorm`. */
export interface NormLayerOptions {
	/** Added to the variance; 1e-5 when left out. */
	readonly eps?: number | undefined;
	/** Whether it scales and shifts; true when left out. */
	readonly affine?: boolean | undefined;
}

/** Options of `GroupNorm`. */
export interface GroupNormLayerOptions extends NormLayerOptions {
	/** Axis of the channels; 0 when left out, as of one record. */
	readonly axis?: number | undefined;
}

const OPTIONS: Readonly<Record<keyof NormLayerOptions, ArgumentKind>> = { eps: "number?", affine: "flag?" };

/** A scale and a shift, or neither. */
abstract class Affine extends Module {
	/** Scale; undefined without `affine`. */
	readonly weight: Parameter | undefined;
	/** Shift; undefined without `affine`. */
	readonly bias: Parameter | undefined;
	/** Added to the variance. */
	readonly eps: number;

	constructor(shape: readonly number[], { eps = 1e-5, affine = true }: NormLayerOptions) {
		super();
		this.weight = affine ? new Parameter(shape) : undefined;
		this.bias = affine ? new Parameter(shape) : undefined;
		this.eps = eps;
	}

	/** Sets the scale to 1 and the shift to 0. */
	resetParameters(device: Device): void {
		expects(`${this.constructor.name}.resetParameters`, { device }, { device: "device" });
		if (this.weight !== undefined) onesInit(device, this.weight);
		if (this.bias !== undefined) zerosInit(device, this.bias);
	}

	/** Scale, shift and eps, as the functions take them. */
	protected get options(): AffineOptions {
		return { weight: this.weight?.value, bias: this.bias?.value, eps: this.eps };
	}
}

/** Layer normalisation over the last axes, torch's LayerNorm: `x [..., ...shape] → [..., ...shape]`. */
export class LayerNorm extends Affine {
	/** Extents of the axes that are normalised. */
	readonly shape: readonly number[];

	/** `shape` is the extent of the last axis, or those of the last axes. Without values: `initialize` sets 1 and 0. */
	constructor(shape: number | readonly number[], options: NormLayerOptions = {}) {
		const own = typeof shape === "number" ? [shape] : shape;
		expects("LayerNorm", { shape: own }, { shape: "shape" });
		super(own, optionsOf("LayerNorm", options, OPTIONS));
		this.shape = [...own];
	}

	/**
	 * `x [..., ...shape] → [..., ...shape]`.
	 * @throws ValueError before scale and shift have values, ShapeError when x does not end in `shape`.
	 */
	forward(x: Tensor): Tensor {
		expects("LayerNorm", { x }, { x: "tensor" });
		if (!sameShape(x.shape.slice(-this.shape.length), this.shape)) {
			throw new ShapeError("norm/shape", `LayerNorm: x${showShape(x.shape)} does not end in ${showShape(this.shape)}`, { op: "layerNorm" });
		}
		return layerNorm(x, { ...this.options, axes: this.shape.map((_, i) => i - this.shape.length) });
	}

	override extraRepr(): string {
		return `(${this.shape.join(", ")}${this.shape.length === 1 ? "," : ""}), eps=${this.eps}, elementwise_affine=${this.weight === undefined ? "False" : "True"}`;
	}
}

/** Group normalisation of one record `[C, ...]`, torch's GroupNorm: `[C, ...] → [C, ...]`. C groups make it instance norm. */
export class GroupNorm extends Affine {
	/** Runs of channels that are normalised together. */
	readonly groups: number;
	/** C. */
	readonly channels: number;
	/** Axis of the channels. */
	readonly axis: number;

	/** `groups` divides `channels`. Without values: `initialize` sets 1 and 0. @throws ShapeError unless it does. */
	constructor(groups: number, channels: number, options: GroupNormLayerOptions = {}) {
		expects("GroupNorm", { groups, channels }, { groups: "count", channels: "count" });
		const { axis = 0, ...own } = optionsOf("GroupNorm", options, { ...OPTIONS, axis: "whole?" });
		if (channels % groups !== 0) {
			throw new ShapeError("norm/groups", `GroupNorm: ${groups} groups do not divide ${channels} channels`, { op: "GroupNorm" });
		}
		super([channels], own);
		this.axis = axis;
		this.groups = groups;
		this.channels = channels;
	}

	/**
	 * `x [C, ...] → [C, ...]`; of a batch through `vmap`, or with another axis.
	 * @throws ValueError before scale and shift have values, ShapeError when x has other channels or `groups` does not divide them.
	 */
	forward(x: Tensor): Tensor {
		return groupNorm(x, this.groups, { ...this.options, axis: this.axis });
	}

	override extraRepr(): string {
		return `${this.groups}, ${this.channels}, eps=${this.eps}, affine=${this.weight === undefined ? "False" : "True"}`;
	}
}
