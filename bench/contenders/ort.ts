/** The process in which ONNX Runtime Web runs, on its WebGPU provider: `--packages DIR [--adapter NAME]`. */
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { versionOf } from "../suite/environment.ts";
import { sizeOf } from "../suite/row.ts";
import { Cannot, type Maker, serve } from "../suite/serve.ts";
import { openGpu } from "./gpu.ts";
import { model, type TypeName } from "./onnx.ts";
import { GRAPHS } from "./ort.graphs.ts";

interface OrtTensor {
	readonly type: string;
	readonly dims: readonly number[];
	readonly gpuBuffer: GPUBuffer;
	getData(): Promise<Float32Array>;
	dispose(): void;
}
interface Session {
	run(feeds: Readonly<Record<string, OrtTensor>>): Promise<Record<string, OrtTensor>>;
	release(): Promise<void>;
}
interface Ort {
	env: { wasm: { numThreads: number }; logLevel: string; webgpu: { device: Promise<GPUDevice> } };
	InferenceSession: { create(model: Uint8Array, options: Readonly<Record<string, unknown>>): Promise<Session> };
	Tensor: { fromGpuBuffer(buffer: GPUBuffer, options: { dataType: TypeName; dims: readonly number[] }): OrtTensor };
}

/** A tensor, and the buffer that was made for it. */
interface Held {
	readonly tensor: OrtTensor;
	readonly shape: readonly number[];
	readonly buffer?: GPUBuffer;
}

const { values: flags } = parseArgs({ options: { adapter: { type: "string" }, packages: { type: "string", default: "." } } });

/** All of a graph runs on the GPU, or none. */
const OPTIONS = {
	executionProviders: ["webgpu"],
	preferredOutputLocation: "gpu-buffer",
	extra: { session: { disable_cpu_ep_fallback: "1" } },
};

/** Dawn takes no views of shared memory, of which the runtime's is made. */
function copyViews(queue: GPUQueue): void {
	const prototype = Object.getPrototypeOf(queue) as GPUQueue;
	const before = prototype.writeBuffer;
	prototype.writeBuffer = function (buffer, offset, values, start, size) {
		const isView = ArrayBuffer.isView(values);
		const bytes: Uint8Array = isView ? new Uint8Array(values.buffer, values.byteOffset, values.byteLength) : new Uint8Array(values);
		const width = isView && "BYTES_PER_ELEMENT" in values ? Number(values.BYTES_PER_ELEMENT) : 1;
		const from = (start ?? 0) * width;
		const own = bytes.slice(from, size === undefined ? undefined : from + size * width);
		return before.call(this, buffer, offset, own as Uint8Array<ArrayBuffer>);
	};
}

await serve<Held>(async () => {
	const { adapter, isSoftware, done } = await openGpu(flags.adapter);
	Object.assign(globalThis, { self: globalThis });
	const file = join(flags.packages, "node_modules/onnxruntime-web/dist/ort.webgpu.bundle.min.mjs");
	const ort = (await import(pathToFileURL(file).href)) as Ort;
	ort.env.wasm.numThreads = 1;
	ort.env.logLevel = "error";
	/** It makes its device with the first session, and gives it up with the last. */
	await ort.InferenceSession.create(
		model({
			nodes: [{ op: "Neg", inputs: ["x"], outputs: ["y"] }],
			inputs: [{ name: "x", type: "float32", shape: [4] }],
			outputs: [{ name: "y", type: "float32", shape: [4] }],
		}),
		{ executionProviders: ["webgpu"] },
	);
	const device = await ort.env.webgpu.device;
	copyViews(device.queue);

	const held = (values: Float32Array | Int32Array | Uint8Array, type: TypeName, shape: readonly number[]): Held => {
		const size = Math.ceil(values.byteLength / 16) * 16;
		const buffer = device.createBuffer({ size, usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST });
		device.queue.writeBuffer(buffer, 0, values.slice());
		return { tensor: ort.Tensor.fromGpuBuffer(buffer, { dataType: type, dims: shape }), shape, buffer };
	};
	const release = (all: readonly Held[]): void => {
		for (const { tensor, buffer } of all) {
			tensor.dispose();
			buffer?.destroy();
		}
	};
	const programs: Record<string, Maker<Held>> = {};
	for (const [work, graphOf] of Object.entries(GRAPHS)) {
		programs[work] = async (inputs, attrs) => {
			const graph = graphOf(Object.fromEntries(Object.entries(inputs).map(([n, { shape }]) => [n, shape])), attrs);
			const own = Object.entries(graph.own ?? {}).map(([n, { values, type, shape }]) => [n, held(values, type, shape)] as const);
			const session = await ort.InferenceSession.create(model(graph), OPTIONS).catch((error: Error) => {
				release(own.map(([, h]) => h));
				throw /fallback/.test(error.message) ? new Cannot("part of it would run on the processor") : error;
			});
			const feeds = Object.fromEntries([...Object.entries(inputs), ...own].map(([n, { tensor }]) => [n, tensor]));
			const run = async () => {
				const results = await session.run(feeds);
				return graph.outputs.map(({ name, shape }) => ({ tensor: results[name], shape }));
			};
			const dispose = () => {
				release(own.map(([, h]) => h));
				session.release().catch(() => {});
			};
			return { run, dispose };
		};
	}
	const training = "inference only: no gradients, no updates";
	const reasons: Readonly<Record<string, string>> = { capturedAdds: "a graph is the only form it has: see 200 adds" };
	return {
		description: { library: "ONNX Runtime Web", version: versionOf("onnxruntime-web", flags.packages), adapter, isSoftware },
		upload: (values, shape) => held(values, values instanceof Int32Array ? "int32" : "float32", shape),
		programs,
		cannot: (work) => reasons[work] ?? training,
		wait: () => done(device.queue),
		read: async ({ tensor, shape }) => {
			const bytes = 4 * sizeOf(shape);
			const staging = device.createBuffer({ size: bytes, usage: GPUBufferUsage.COPY_DST | GPUBufferUsage.MAP_READ });
			const encoder = device.createCommandEncoder();
			encoder.copyBufferToBuffer(tensor.gpuBuffer, 0, staging, 0, bytes);
			device.queue.submit([encoder.finish()]);
			await staging.mapAsync(GPUMapMode.READ);
			const values = new Float32Array(staging.getMappedRange().slice(0));
			staging.destroy();
			return values;
		},
		release,
	};
});
