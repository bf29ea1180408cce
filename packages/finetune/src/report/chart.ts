import type { Spec } from "vega";
import { escapeText, type Html, html, trusted } from "./html.ts";

/** A point of a curve. */
export interface Point {
	/** Along. */
	readonly x: number;
	/** Up. */
	readonly y: number;
}

/** An axis of a chart. */
export interface Axis {
	/** What it shows. */
	readonly title: string;
	/** From where to where; from the points when left out. */
	readonly domain?: readonly [number, number] | undefined;
	/** d3's format of its numbers. */
	readonly format?: string | undefined;
}

/** A chart of one curve. */
export interface Chart {
	/** What is to be seen, in words: for who cannot see it. */
	readonly label: string;
	/** What stands below it. */
	readonly caption: string;
	/** Below. */
	readonly x: Axis;
	/** On the left. */
	readonly y: Axis;
	/** The curve. */
	readonly points: readonly Point[];
	/** Whether a value holds from its point to the next, in place of a line between them. */
	readonly isStaircase?: boolean | undefined;
	/** A second, dashed curve to compare with, and what it is called. */
	readonly reference?: { readonly name: string; readonly points: readonly Point[] } | undefined;
}

/** Made for a phone's width, where it is shown as large as here; on a desk it is larger. */
const [WIDTH, HEIGHT] = [340, 230];

function specOf({ x, y, points, reference, isStaircase = false }: Chart): Spec {
	const scale = (name: "x" | "y", { domain }: Axis) => ({
		name,
		type: "linear" as const,
		domain: domain === undefined ? { fields: [curve, dashed].map((data) => ({ data, field: name })) } : [...domain],
		range: name === "x" ? ("width" as const) : ("height" as const),
		nice: domain === undefined,
		zero: domain === undefined && name === "y",
	});
	const line = (data: string, stroke: string, dash: number[]) => ({
		type: "line" as const,
		from: { data },
		encode: {
			enter: {
				x: { scale: "x", field: "x" },
				y: { scale: "y", field: "y" },
				stroke: { value: stroke },
				strokeWidth: { value: dash.length > 0 ? 1.5 : 2.5 },
				strokeDash: { value: dash },
				interpolate: { value: isStaircase && data === curve ? "step-after" : "linear" },
			},
		},
	});
	const axis = (orient: "bottom" | "left", { title, format }: Axis) => ({
		...{ orient, title, format, scale: orient === "bottom" ? "x" : "y", tickCount: 5, grid: true },
		...{ gridOpacity: 0.15, gridColor: INK, domainColor: INK, tickColor: INK, labelColor: INK, titleColor: INK },
		...{ labelFont: FONT, titleFont: FONT, labelFontSize: 11, titleFontSize: 12, titleFontWeight: 500, labelOverlap: true },
	});
	return {
		...{ width: WIDTH, height: HEIGHT, padding: 4, autosize: { type: "fit", contains: "padding" } },
		data: [
			{ name: curve, values: points.map((p) => ({ ...p })) },
			{ name: dashed, values: (reference?.points ?? []).map((p) => ({ ...p })) },
		],
		scales: [scale("x", x), scale("y", y)],
		axes: [axis("bottom", x), axis("left", y)] as NonNullable<Spec["axes"]>,
		marks: [
			...(reference === undefined ? [] : [line(dashed, "var(--mark)", [5, 4])]),
			line(curve, "var(--series)", []),
			...(points.length > 1 ? [] : [symbol]),
		] as NonNullable<Spec["marks"]>,
	};
}

const [curve, dashed, INK, FONT] = ["curve", "reference", "currentColor", "system-ui, sans-serif"];

/** A curve of a single point is drawn as one. */
const symbol = {
	type: "symbol",
	from: { data: curve },
	encode: {
		enter: { x: { scale: "x", field: "x" }, y: { scale: "y", field: "y" }, fill: { value: "var(--series)" }, size: { value: 60 } },
	},
};

/** A chart as a figure with a drawing, a caption and, for who reads it otherwise, a label. Vega draws it, loaded when it is needed. */
export async function figure(chart: Chart): Promise<Html> {
	const { parse, View } = await import("vega");
	const view = new View(parse(specOf(chart)), { renderer: "none" });
	const svg = await view.toSVG();
	view.finalize();
	const drawing = svg
		.replaceAll(/ (?:xmlns(?::\w+)?|role|aria-[\w-]+)="[^"]*"/g, "")
		.replace(/^<svg /, `<svg role="img" aria-label="${escapeText(chart.label)}" `);
	const legend = chart.reference === undefined ? "" : ` Dashed: ${chart.reference.name}.`;
	return html`<figure>${trusted(drawing)}<figcaption>${chart.caption}${legend}</figcaption></figure>\n`;
}
