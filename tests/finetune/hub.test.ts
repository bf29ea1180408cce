import { mkdtemp, readdir, readFile, readlink, rm, writeFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { fromHub } from "../../packages/finetune/src/data/hub.ts";
import { findHubPlaces } from "../../packages/finetune/src/data/hubPlaces.ts";

const SHA = "0123456789abcdef0123456789abcdef01234567";
const CSV = "question,answer\nWhy?,So.\n";
const TOKEN = "hf_secret";

let folder: string;
let server: Server;
let seen: string[];
let environment: Record<string, string>;

/** A hub of one open data set, one that needs a licence, one of two files, and one that breaks off. */
function answer(request: IncomingMessage, response: ServerResponse): void {
	const url = request.url ?? "";
	seen.push(url);
	const names: Record<string, string[]> = {
		open: ["README.md", "data/train.csv"],
		gated: ["a.json"],
		two: ["a.json", "b.jsonl"],
		torn: ["a.csv"],
	};
	const name = /^\/(?:api\/)?datasets\/owner\/(\w+)/.exec(url)?.[1] ?? "";
	if (names[name] === undefined) return void response.writeHead(404).end();
	if (name === "gated" && request.headers.authorization !== `Bearer ${TOKEN}`) return void response.writeHead(403).end();
	if (url.startsWith("/api/"))
		return void response.end(JSON.stringify({ sha: SHA, siblings: names[name].map((rfilename) => ({ rfilename })) }));
	if (name === "torn") {
		response.writeHead(200, { "content-length": "1000" });
		response.write("half of it");
		return void setTimeout(() => response.destroy(), 20);
	}
	response.end(CSV);
}

beforeEach(async () => {
	folder = await mkdtemp(join(tmpdir(), "hushgrad-"));
	seen = [];
	server = createServer(answer);
	await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
	environment = { HF_HUB_CACHE: folder, HF_HOME: folder, HF_ENDPOINT: `http://127.0.0.1:${(server.address() as AddressInfo).port}` };
});
afterEach(async () => {
	await new Promise((resolve) => server.close(resolve));
	await rm(folder, { recursive: true });
});

const refusal = (data: string, more: Record<string, string> = {}): Promise<string> =>
	fromHub(data, { ...environment, ...more }).then(
		() => "accepted",
		(error: Error) => error.message,
	);

describe("a data set of the Hub", () => {
	it("is downloaded once, to the layout of Hugging Face's own tools", async () => {
		const path = await fromHub("hub:owner/open", environment);
		expect(path).toBe(join(folder, "datasets--owner--open/snapshots", SHA, "data/train.csv"));
		expect(await readFile(path, "utf8")).toBe(CSV);
		expect(await readlink(path)).toMatch(/^\.\.\/\.\.\/\.\.\/blobs\/[0-9a-f]{64}$/);
		expect(await readFile(join(folder, "datasets--owner--open/refs/main"), "utf8")).toBe(SHA);
		const requests = seen.length;
		expect(await fromHub("hub:owner/open/data/train.csv", environment)).toBe(path);
		expect(seen.length).toBe(requests + 1);
		expect(await fromHub("hub:owner/open/data/train.csv", { ...environment, HF_HUB_OFFLINE: "1" })).toBe(path);
		expect(seen.length).toBe(requests + 1);
	});

	it("that is gated takes a token, which no message shows", async () => {
		expect(await refusal("hub:owner/gated")).toMatch(/does not give.*\n.*\n.*accept its licence at .*HF_TOKEN/);
		expect(await fromHub("hub:owner/gated", { ...environment, HF_TOKEN: TOKEN })).toContain("a.json");
		expect(await refusal("hub:owner/absent", { HF_TOKEN: TOKEN })).not.toContain(TOKEN);
	});

	it("that breaks off leaves nothing behind", async () => {
		expect(await refusal("hub:owner/torn")).toContain("the download broke off");
		expect(await readdir(join(folder, "datasets--owner--torn/blobs"))).toEqual([]);
	});

	it.each<[string, string, Record<string, string>, RegExp]>([
		["that there is not", "hub:owner/absent", {}, /the Hub answers 404/],
		[
			"of several files",
			"hub:owner/two",
			{},
			/2 files of records[\s\S]*name one of them: hub:owner\/two\/a\.json; it has a\.json, b\.jsonl/,
		],
		["without the file", "hub:owner/two/c.csv", {}, /no file "c\.csv"[\s\S]*it has a\.json/],
		["by a name that is none", "hub:owner", {}, /names no data set/],
		["by a path that leads out", "hub:owner/two/../../x.json", {}, /names no data set/],
		["offline", "hub:owner/open", { HF_HUB_OFFLINE: "1" }, /HF_HUB_OFFLINE is set/],
		["of a hub that is not there", "hub:owner/open", { HF_ENDPOINT: "http://127.0.0.1:9" }, /cannot be reached/],
	])("%s is refused", async (_, data, more, message) => {
		expect(await refusal(data, more)).toMatch(message);
	});
});

describe("what doctor says of the Hub", () => {
	it("is where downloads lie, how many, and where a token was found, never the token", async () => {
		expect(await findHubPlaces(environment)).toEqual({ cache: folder, dataSets: 0, tokenFrom: null, isOffline: false });
		await fromHub("hub:owner/open", environment);
		await writeFile(join(folder, "token"), `${TOKEN}\n`);
		const login = await findHubPlaces({ ...environment, HF_HUB_OFFLINE: "1" });
		expect(login).toEqual({ cache: folder, dataSets: 1, tokenFrom: join(folder, "token"), isOffline: true });
		const named = await findHubPlaces({ ...environment, HF_TOKEN: TOKEN });
		expect(named.tokenFrom).toBe("HF_TOKEN");
		expect(JSON.stringify([login, named])).not.toContain(TOKEN);
	});
});
