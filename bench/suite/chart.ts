import { COST, costName, type Report, versusBest } from "./report.ts";
import { ran } from "./run.ts";

const WIDTH = 860;
const NAMES = 330;
const LINE = 18;
const TOP = 46;
const escaped = (text: string): string => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");

/** One bar a row. */
interface Bar {
	readonly name: string;
	readonly value: number;
	readonly text: string;
}

/** Beside others: how many times as long the best of them takes. Alone: what a row costs, in milliseconds. */
export function chart(report: Report): string {
	const cost = costName(report.libraries);
	const [ours] = Object.keys(report.libraries);
	const against = report.rows.flatMap(({ row, outcomes }): Bar[] => {
		const best = versusBest(outcomes, cost);
		return best === undefined ? [] : [{ name: row.name, value: best.ratio, text: `${best.ratio.toFixed(2)} ${best.name}` }];
	});
	if (against.length > 0) {
		return picture(against, `${COST[cost]} of the best other library, in times that of this one: above 1 this one is ahead`, 1);
	}
	const alone = report.rows.flatMap(({ row, outcomes }): Bar[] => {
		const own = ran(outcomes[ours]);
		return own === undefined ? [] : [{ name: row.name, value: own[cost].median, text: `${own[cost].median.toPrecision(3)} ms` }];
	});
	return picture(alone, `${COST[cost]} in milliseconds, logarithmic`, undefined);
}

/** Bars on a logarithmic axis; with `zero`, left and right of it. */
function picture(bars: readonly Bar[], title: string, zero: number | undefined): string {
	const logs = bars.map(({ value }) => Math.log(value));
	const low = Math.min(...logs, zero === undefined ? Number.POSITIVE_INFINITY : 0);
	const high = Math.max(...logs, 0);
	const room = WIDTH - NAMES - 150;
	const xOf = (log: number): number => NAMES + 20 + (high === low ? 0 : ((log - low) / (high - low)) * room);
	const base = zero === undefined ? NAMES + 10 : xOf(0);
	const height = TOP + LINE * bars.length + 14;
	const lines = bars.map(({ name, value, text }, i) => {
		const [x, y] = [xOf(Math.log(value)), TOP + LINE * i];
		const [from, to] = [Math.min(base, x), Math.max(base, x)];
		const kind = zero !== undefined && value < zero ? "behind" : "ahead";
		return `	<text x="${NAMES}" y="${y + 12}" text-anchor="end">${escaped(name)}</text>
	<rect class="${kind}" x="${from.toFixed(1)}" y="${y + 2}" width="${Math.max(1, to - from).toFixed(1)}" height="${LINE - 5}" />
	<text class="small" x="${(to + 5).toFixed(1)}" y="${y + 12}">${escaped(text)}</text>`;
	});
	const axis = `	<line x1="${base.toFixed(1)}" y1="${TOP - 4}" x2="${base.toFixed(1)}" y2="${height - 8}" />`;
	return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" font-family="Helvetica, Arial, sans-serif" font-size="12">
	<title>${escaped(title)}</title>
	<style>
		.page { fill: #ffffff; }
		.ahead { fill: #2f7d4f; }
		.behind { fill: #b35900; }
		text { fill: #1f2328; }
		.small { font-size: 11px; fill: #57606a; }
		line { stroke: #57606a; }
	</style>
	<rect class="page" width="${WIDTH}" height="${height}" />
	<text x="20" y="24" font-size="14">${escaped(title)}</text>
${axis}
${lines.join("\n")}
</svg>
`;
}
