import { listAdapters, requestDevice } from "@hushgrad/tensor";
import { describe, expect, test } from "vitest";
import { choose } from "../../packages/tensor/src/gpu/request.node.ts";
import { requestGpu } from "../../packages/tensor/src/gpu/request.web.ts";

const [first] = await listAdapters();

/** The name as WebGPU gives it: in lower case, all else dashes. */
const plain = (name: string): string => name.toLowerCase().replace(/[^a-z0-9]+/g, "-");

describe("on this machine", () => {
	test("adapters are listed by name and backend", () => {
		expect(first.name).not.toBe("");
		expect(["vulkan", "metal", "d3d11", "d3d12"]).toContain(first.backend);
	});

	test.each([
		["its name", first.name],
		["a part of its name", first.name.slice(0, 6).toUpperCase()],
		["its number", 0],
	])("a device is opened by %s", async (_, adapter) => {
		const device = await requestDevice({ adapter, powerPreference: "high-performance" });
		expect(plain(device.info.device)).toBe(plain(first.name));
		device.destroy();
	});

	test.each(["no such adapter", 99])("the adapter %j is refused with the names there are", async (adapter) => {
		await expect(requestDevice({ adapter })).rejects.toMatchObject({
			code: "device/adapter",
			message: expect.stringContaining(`0: ${first.name} (${first.backend})`),
		});
	});

	test.each([
		[{ adapter: -1 }, /adapter is -1, expected the name of an adapter, or its number/],
		[{ powerPreference: "fast" as "low-power" }, /powerPreference is "fast", expected "high-performance" or "low-power"/],
	])("%j is refused at the door", async (options, text) => {
		await expect(requestDevice(options)).rejects.toThrow(text);
	});
});

describe("among several", () => {
	const [xe, rtx, ti, again, gl] = [
		{ backend: "vulkan", name: "Intel Iris Xe" },
		{ backend: "vulkan", name: "NVIDIA RTX 4060" },
		{ backend: "vulkan", name: "NVIDIA RTX 4060 Ti" },
		{ backend: "vulkan", name: "NVIDIA RTX 4060 Ti" },
		{ backend: "opengl", name: "Intel Iris Xe" },
	];

	test("a number, a name and a part that one name has choose", () => {
		expect(choose(1, [xe, rtx, ti])).toBe(rtx);
		expect(choose("NVIDIA RTX 4060", [xe, rtx, ti])).toBe(rtx);
		expect(choose("iris", [xe, rtx, ti])).toBe(xe);
		expect(choose(1, [xe, gl])).toBe(gl);
	});

	test("a part that several names have, and a name that Dawn would take for another, are refused", () => {
		expect(() => choose("nvidia", [xe, rtx, ti])).toThrow('2 adapters fit "nvidia"');
		expect(() => choose("Intel Iris Xe", [xe, gl])).toThrow("2 adapters fit");
		expect(() => choose(1, [ti, again])).toThrow("Dawn cannot tell apart adapter 1");
		expect(() => choose("NVIDIA RTX 4060", [ti, rtx])).toThrow("Dawn cannot tell apart");
		expect(() => choose("iris", [])).toThrow("install a Vulkan, Metal or D3D12 driver");
	});
});

test("in a browser the adapter cannot be chosen by name", async () => {
	await expect(requestGpu("NVIDIA")).rejects.toMatchObject({ code: "device/adapter" });
});
