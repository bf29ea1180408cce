import { arch, cpus, platform, release, totalmem } from "node:os";
import type { Device } from "@hushgrad/tensor";
import type { Identity } from "./identity.ts";

/**
 * What a run is computed on, and with which base: public facts. The SHA-256 of the data is none of them: who guesses all records can tell by
 * it that the guess is right.
 */
export function environmentOf(device: Device, { base, code }: Identity): object {
	const { vendor, architecture, device: model, description } = device.info;
	return {
		versions: { node: process.versions.node, ...code },
		platform: { name: platform(), release: release(), arch: arch(), processor: cpus()[0]?.model ?? "", memoryBytes: totalmem() },
		device: { vendor, architecture, device: model, description, hasF16: device.has("shader-f16") },
		sha256: { base },
	};
}
