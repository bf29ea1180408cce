import { ELEMENTS } from "../rows/elements.ts";
import { END_TO_END } from "../rows/endToEnd.ts";
import { ENGINE } from "../rows/engine.ts";
import { LINES } from "../rows/lines.ts";
import { PRODUCTS } from "../rows/products.ts";
import type { Row } from "./row.ts";

/** Every row there is. */
export const ROWS: readonly Row[] = [...PRODUCTS, ...LINES, ...ELEMENTS, ...ENGINE, ...END_TO_END];

const COUNT = 2 ** 22;
const LANES = 4096;
const TURNS = 2048;

/** What the device can do at most, measured in every run: what copies, and what multiplies and adds. */
export const CEILINGS = {
	bytes: { name: "ceiling: copy", family: "kernels", work: "copy", inputs: {}, attrs: { count: COUNT }, bytes: 2 * 4 * COUNT },
	flops: {
		name: "ceiling: multiply-add",
		family: "kernels",
		work: "multiplyAdd",
		inputs: {},
		attrs: { lanes: LANES, turns: TURNS },
		flops: 2 * 4 * 8 * LANES * TURNS,
	},
} as const satisfies Readonly<Record<string, Row>>;
