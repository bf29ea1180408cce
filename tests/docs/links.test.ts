import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, statSync } from "node:fs";
import { posix } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";

const root = fileURLToPath(new URL("../..", import.meta.url));

/** The pages that git knows or would add. */
const pages = execFileSync("git", ["ls-files", "--cached", "--others", "--exclude-standard", "*.md", "llms.txt"], {
	cwd: root,
	encoding: "utf8",
})
	.split("\n")
	.filter((path) => path !== "" && existsSync(root + path));

/** A page without its code, in which nothing is a link or a heading. */
const withoutCode = (text: string): string =>
	text
		.replaceAll(/^(```|~~~)[\s\S]*?^\1/gm, "")
		.replaceAll(/^(?: {4}|\t).*$/gm, "")
		.replaceAll(/`[^`\n]*`/g, (code) => code.replaceAll(/[[\]()<>]/g, ""));

/** What a page links to: [text](target), [name]: target, and href and src of HTML. */
function linksOf(text: string): string[] {
	const found = withoutCode(text).matchAll(/\]\(\s*<?([^()\s>]+)|^\[[^\]]+\]:\s*(\S+)|\b(?:href|src)="([^"]+)"/gm);
	return [...found].map(([, inline, named, html]) => inline ?? named ?? html);
}

/** The anchors that GitHub gives the headings of a page. */
function anchorsOf(text: string): Set<string> {
	const anchors = new Set<string>();
	for (const [, heading] of withoutCode(text).matchAll(/^#{1,6} +(.+?)(?: +#+)?$/gm)) {
		const words = heading.replaceAll(/\]\([^)]*\)/g, "").toLowerCase();
		const slug = words.replaceAll(/[^\p{L}\p{N}_ -]/gu, "").replaceAll(" ", "-");
		let anchor = slug;
		for (let i = 1; anchors.has(anchor); i++) anchor = `${slug}-${i}`;
		anchors.add(anchor);
	}
	return anchors;
}

/** Why a relative link leads nowhere; undefined where it leads somewhere, or to another site. */
function faultOf(page: string, link: string, read: (path: string) => string | undefined): string | undefined {
	if (/^(\w+:|\/\/)/.test(link)) return undefined;
	const [path, anchor] = link.split("#");
	const target = path === "" ? page : posix.join(posix.dirname(page), decodeURIComponent(path));
	const text = target.startsWith("..") || path.startsWith("/") ? undefined : read(target);
	if (text === undefined) return `${page}: ${link}: no such file`;
	if (anchor === undefined || !/\.(md|txt)$/.test(target) || anchorsOf(text).has(anchor)) return undefined;
	return `${page}: ${link}: no such heading`;
}

const readFile = (path: string): string | undefined => {
	if (!existsSync(root + path)) return undefined;
	return statSync(root + path).isFile() ? readFileSync(root + path, "utf8") : "";
};

describe("links", () => {
	it("of every page lead to a file, and to a heading where they name one", () => {
		expect(pages).toEqual(expect.arrayContaining(["README.md", "llms.txt", "docs/errors.md", "packages/dp/README.md"]));
		const all = pages.flatMap((page) => linksOf(readFileSync(root + page, "utf8")).map((link) => ({ page, link })));
		expect(all.length).toBeGreaterThan(20);
		expect(all.map(({ page, link }) => faultOf(page, link, readFile)).filter((fault) => fault !== undefined)).toEqual([]);
	});

	it("are found in every form, but not in code", () => {
		const text = '[a](a.md) ![b](<b.svg> "B") <img src="c.png">\n[d]: d.md\n`[x](no.md)`\n```md\n[y](no.md)\n```\n    [z](no.md)\n';
		expect(linksOf(text)).toEqual(["a.md", "b.svg", "c.png", "d.md"]);
	});

	it("are compared with headings as GitHub names them", () => {
		expect([...anchorsOf("# One `two` (3): é_x\n## Same\n### Same\n```sh\n# no\n```\n")]).toEqual(["one-two-3-é_x", "same", "same-1"]);
	});

	it.each([
		["b.md", undefined],
		["b.md#head", undefined],
		["#own", undefined],
		["https://example.org/x#y", undefined],
		["mailto:a@example.org", undefined],
		["c.md", "docs/a.md: c.md: no such file"],
		["../../b.md", "docs/a.md: ../../b.md: no such file"],
		["/docs/b.md", "docs/a.md: /docs/b.md: no such file"],
		["b.md#tail", "docs/a.md: b.md#tail: no such heading"],
		["#head", "docs/a.md: #head: no such heading"],
	])("%s: %s", (link, expected) => {
		const texts: Readonly<Record<string, string>> = { "docs/a.md": "# Own", "docs/b.md": "# Head" };
		expect(faultOf("docs/a.md", link, (path) => texts[path])).toBe(expected);
	});
});
