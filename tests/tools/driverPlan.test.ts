import { describe, expect, it } from "vitest";
import { driverPlan, extraSources, parseOsRelease } from "../../tools/driver-plan.mjs";

const debian = (version: string) => ({ id: "debian", version, codename: "" });
const facts = { system: debian("12"), isRoot: true, hasSudo: false, isForbidden: false };

describe("driverPlan", () => {
	it("takes Debian 12's driver from backports, in folders of its own", () => {
		const { kind, commands } = driverPlan(facts, "/tmp/x");
		expect(kind).toBe("install");
		expect(commands.map((c) => c[0])).toEqual(["apt-get", "apt-get"]);
		for (const command of commands) {
			expect(command).toContain("Dir::Etc::sourceparts=/tmp/x/parts");
			expect(command).toContain("Dir::State::lists=/tmp/x/lists");
		}
		expect(commands[1].join(" ")).toContain("-t bookworm-backports install mesa-vulkan-drivers");
		expect(extraSources(debian("12"))).toEqual(["deb http://deb.debian.org/debian bookworm-backports main"]);
	});

	it.each([debian("13"), { id: "ubuntu", version: "24.04", codename: "noble" }])("takes the system's own on $id $version", (system) => {
		const { kind, commands } = driverPlan({ ...facts, system }, "/tmp/x");
		expect(kind).toBe("install");
		expect(commands[1]).not.toContain("-t");
		expect(extraSources(system)).toEqual([]);
	});

	it("uses sudo only where it needs no password", () => {
		const user = { ...facts, isRoot: false };
		expect(driverPlan({ ...user, hasSudo: true }, "/tmp/x")).toMatchObject({
			kind: "install",
			commands: [
				["sudo", "-n"],
				["sudo", "-n"],
			].map((c) => expect.arrayContaining(c)),
		});
		const { kind, commands } = driverPlan(user, "/tmp/x");
		expect(kind).toBe("tell");
		expect(commands.every((c) => c[0] === "sudo" && c[1] !== "-n")).toBe(true);
	});

	it("installs nothing when forbidden, on another system, or on a Debian too old", () => {
		expect(driverPlan({ ...facts, isForbidden: true }, "/tmp/x")).toMatchObject({
			kind: "tell",
			commands: expect.arrayContaining([expect.anything()]),
		});
		for (const system of [debian("11"), { id: "fedora", version: "41", codename: "" }, parseOsRelease("")]) {
			expect(driverPlan({ ...facts, system }, "/tmp/x")).toMatchObject({ kind: "tell", commands: [] });
		}
	});

	it("reads os-release with and without quotes", () => {
		expect(parseOsRelease('PRETTY_NAME="Debian"\nID=debian\nVERSION_ID="12"\nVERSION_CODENAME=bookworm\n')).toEqual({
			id: "debian",
			version: "12",
			codename: "bookworm",
		});
	});
});
