import { DeviceError } from "./errors.ts";
import { optionsOf } from "./expects.ts";
import type { Plan } from "./gpu/plan.ts";
import type { GPUAdapterInfo } from "./gpu/types.ts";
import { TILES, type Tile } from "./ops/gemm.tiled.kernel.ts";
import { refused } from "./shown.ts";

/**
 * With which tiles one adapter was measured to compute products of matrices faster: what `npm run autotune` writes. The tile changes no bit
 * of a product. Into how many parts a sum is split, which would, is not tuned.
 */
export interface Tuning {
	/** WebGPU's names of the adapter with a space between them: vendor, architecture and device. */
	readonly adapter: string;
	/** What the driver said of itself: "NVIDIA: 580.159.04". */
	readonly driver: string;
	/** The plan whose products they are: "gpu". */
	readonly plan: string;
	/** The day of the measurement: "2026-11-27". */
	readonly date: string;
	/** The tile, such as "64x64", by products times M x N x K: "8x1024x1152x256". Of a sum in parts each is a product of its own. */
	readonly tiles: Readonly<Record<string, string>>;
}

const isTile = (name: string): name is Tile => Object.hasOwn(TILES, name);

/**
 * The tiles of a tuning, by product.
 * @throws ValueError where it is malformed; DeviceError (`device/tuning`) where it is another plan's, or another adapter's. Of
 * pages the device may be hidden: it is then not compared.
 */
export function tilesOf(tuning: Tuning, info: GPUAdapterInfo, plan: Plan): ReadonlyMap<string, Tile> {
	optionsOf("requestDevice", tuning, { adapter: "text", driver: "text", plan: "text", date: "text", tiles: "options" });
	const tiles = new Map<string, Tile>();
	for (const [product, tile] of Object.entries(tuning.tiles)) {
		if (!isTile(tile) || !/^\d+(x\d+){3}$/.test(product)) {
			throw refused("requestDevice", `tiles["${product}"]`, tile, "a tile of products");
		}
		tiles.set(product, tile);
	}
	const own = `${info.vendor} ${info.architecture} ${info.device}`;
	if (!tuning.adapter.startsWith(own) || tuning.plan !== plan || plan !== "gpu") {
		const text = `requestDevice: the tuning is of ${tuning.adapter}, plan ${tuning.plan}, not ${own}, plan ${plan}`;
		throw new DeviceError("device/tuning", text);
	}
	return tiles;
}
