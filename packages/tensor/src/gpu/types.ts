/**
 * WebGPU's types as the program's own TypeScript declares them (its DOM library or `@webgpu/types`), and `unknown` where
 * it declares none: so the declarations of this package need neither, and never collide with either.
 */
type Declared<Name extends string> = typeof globalThis extends { readonly [K in Name]: { prototype: infer T } } ? T : unknown;

export type GPU = Declared<"GPU">;
export type GPUBindGroup = Declared<"GPUBindGroup">;
export type GPUBindGroupLayout = Declared<"GPUBindGroupLayout">;
export type GPUBuffer = Declared<"GPUBuffer">;
export type GPUCommandEncoder = Declared<"GPUCommandEncoder">;
export type GPUComputePassEncoder = Declared<"GPUComputePassEncoder">;
export type GPUComputePipeline = Declared<"GPUComputePipeline">;
export type GPUDevice = Declared<"GPUDevice">;
export type GPUQuerySet = Declared<"GPUQuerySet">;

/** What a driver tells of itself: the part of WebGPU's GPUAdapterInfo that is used. */
export interface GPUAdapterInfo {
	/** Who made the GPU, such as "nvidia"; "" where the browser hides it, here and below. */
	readonly vendor: string;
	/** The family of the GPU, such as "ampere". */
	readonly architecture: string;
	/** The vendor's number of the model. */
	readonly device: string;
	/** The name of the model, for people. */
	readonly description: string;
	/** Invocations of a subgroup, at least; newer versions tell. */
	readonly subgroupMinSize?: number | undefined;
	/** And at most. */
	readonly subgroupMaxSize?: number | undefined;
}

/** A GPU with the driver that it is used by. */
export interface AdapterName {
	/** The driver's name of it: "NVIDIA GeForce RTX 4060 Laptop GPU". */
	readonly name: string;
	/** How it is reached: "vulkan", "metal", "d3d12". One GPU may be there several times. */
	readonly backend: string;
}
