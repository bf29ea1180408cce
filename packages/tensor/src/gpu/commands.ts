import type { Elementwise } from "../fusion.ts";
import type { Storage } from "../storage.ts";
import type { Pipeline } from "./pipelines.ts";
import type { PooledBuffer } from "./pool.ts";
import type { Work } from "./profiler.ts";
import type { GPUBuffer } from "./types.ts";

/** What has a buffer while commands are encoded: a storage, or what stands for it. */
export interface Placed {
	readonly buffer: PooledBuffer | undefined;
}

/** A byte range of a storage as a kernel sees it, and the element of it where the view begins. */
export interface Binding<S extends Placed = Storage> {
	readonly storage: S;
	readonly offset: number;
	readonly size: number;
	readonly base: number;
}

/** Workgroups on each axis, at most 65535 on each. */
export type Grid = readonly [x: number, y: number, z: number];

/** One run of a kernel. */
export interface Dispatch<S extends Placed = Storage> {
	readonly pipeline: Pipeline;
	readonly bindings: readonly Binding<S>[];
	readonly params: readonly number[];
	readonly grid: Grid;
	/** What a profile tells of it. */
	readonly work?: Work | undefined;
	readonly elementwise?: Known["elementwise"];
	readonly zeroed?: Known["zeroed"];
}

/** What a caller may tell of a run of a kernel. */
export interface Known extends Pick<Work, "flops"> {
	/** What it computes, where that is element by element. */
	readonly elementwise?: Elementwise | undefined;
	/** The bytes of its one storage that it makes zero, where it does nothing else and the driver's own way is the quicker. */
	readonly zeroed?: { readonly offset: number; readonly bytes: number } | undefined;
}

/** A copy to a buffer that can be read. */
export interface Copy {
	readonly from: Storage;
	readonly offset: number;
	readonly to: GPUBuffer;
	readonly bytes: number;
}
