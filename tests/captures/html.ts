import type { Cell, Screen, Style } from "./screen.ts";

/** Colours of a terminal: text, ground, and the eight of ECMA-48. */
export interface Theme {
	readonly text: string;
	readonly ground: string;
	readonly colors: readonly string[];
}

/** The colours of VS Code's terminal, which stand for many: its light and its dark one. */
export const THEMES: Readonly<Record<"light" | "dark", Theme>> = {
	light: {
		text: "#333333",
		ground: "#ffffff",
		colors: ["#000000", "#cd3131", "#107c10", "#949800", "#0451a5", "#bc05bc", "#0598bc", "#555555"],
	},
	dark: {
		text: "#cccccc",
		ground: "#1e1e1e",
		colors: ["#000000", "#cd3131", "#0dbc79", "#e5e510", "#2472c8", "#bc3fbc", "#11a8cd", "#e5e5e5"],
	},
};

const escaped = (text: string): string => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");

const css = ({ bold, dim, underlined, color }: Style, { colors }: Theme): string =>
	[
		bold === true ? "font-weight:bold" : "",
		dim === true ? "opacity:.6" : "",
		underlined === true ? "text-decoration:underline" : "",
		color === undefined ? "" : `color:${colors[color - 30]}`,
	]
		.filter((rule) => rule !== "")
		.join(";");

function lineHtml(line: readonly (Cell | undefined)[], theme: Theme): string {
	const cells = Array.from(line, (cell): Cell => cell ?? { text: " ", style: {} });
	const spans: { style: string; text: string }[] = [];
	for (const { text, style } of cells) {
		const rules = css(style, theme);
		const last = spans.at(-1);
		if (last?.style === rules) last.text += text;
		else spans.push({ style: rules, text });
	}
	return spans.map(({ style, text }) => (style === "" ? escaped(text) : `<span style="${style}">${escaped(text)}</span>`)).join("");
}

/** A page with what a screen shows, under the command that was typed. */
export function screenPage(screen: Screen, command: string, theme: Theme): string {
	const lines = screen.lines.map((line) => lineHtml(line, theme)).join("\n");
	return `<!doctype html><meta charset="utf-8"><style>
html { background: ${theme.ground} }
body { margin: 0; padding: 12px; display: inline-block; border-right: 1px dotted #8888; }
pre { margin: 0; width: ${screen.columns}ch; color: ${theme.text}; font: 14px/1.25 "DejaVu Sans Mono", monospace; }
.typed { opacity: .6; white-space: pre-wrap; overflow-wrap: anywhere; }
</style><pre class="typed">$ ${escaped(command)}</pre><pre>${lines}</pre>`;
}
