/**
 * What to do where Dawn finds no adapter. A pure function of what the machine is, so that every case can be tested.
 *
 * @typedef {{ id: string, version: string, codename: string }} System  from /etc/os-release
 * @typedef {{ system: System, isRoot: boolean, hasSudo: boolean, isForbidden: boolean }} Facts
 * @typedef {{ kind: "install" | "tell", reason: string, commands: readonly (readonly string[])[] }} Plan
 */

/**
 * Debian 12's own Mesa is 22.3, which Dawn rejects.
 * @type {Readonly<Record<number, string>>}
 */
const BACKPORTS = { 12: "bookworm-backports" };

const PACKAGES = ["mesa-vulkan-drivers", "libvulkan1"];

/**
 * @param {Facts} facts
 * @param {string} sources  folder for apt's sources and lists, so that the system's own stay as they are
 * @returns {Plan}
 */
export function driverPlan({ system, isRoot, hasSudo, isForbidden }, sources) {
	const isDebian = system.id === "debian" && Number(system.version) >= 12;
	const isUbuntu = system.id === "ubuntu" && Number(system.version) >= 24;
	if (!isDebian && !isUbuntu) {
		const reason =
			"on this system the driver has to be installed by hand: any Vulkan driver will do, Mesa's lavapipe (22.3 is too old) needs no GPU";
		return { kind: "tell", reason, commands: [] };
	}
	const commands = installCommands(isDebian ? BACKPORTS[Number(system.version)] : undefined, sources);
	if (isForbidden) return { kind: "tell", reason: "HUSHGRAD_NO_DRIVER_INSTALL forbids installing it here", commands };
	if (isRoot) return { kind: "install", reason: "installing Mesa's software driver", commands };
	if (hasSudo)
		return { kind: "install", reason: "installing Mesa's software driver with sudo", commands: commands.map((c) => ["sudo", "-n", ...c]) };
	return { kind: "tell", reason: "installing the driver needs root", commands: commands.map((c) => ["sudo", ...c]) };
}

/** @param {string | undefined} suite @param {string} sources */
function installCommands(suite, sources) {
	const here = ["-o", `Dir::Etc::sourceparts=${sources}/parts`, "-o", `Dir::State::lists=${sources}/lists`];
	const from = suite === undefined ? [] : ["-t", suite];
	return [
		["apt-get", "-q", ...here, "update"],
		["apt-get", "-qy", ...here, "--no-install-recommends", ...from, "install", ...PACKAGES],
	];
}

/** Lines of apt sources that a system needs besides its own. @param {System} system */
export function extraSources({ id, version }) {
	const suite = id === "debian" ? BACKPORTS[Number(version)] : undefined;
	return suite === undefined ? [] : [`deb http://deb.debian.org/debian ${suite} main`];
}

/** @param {string} text  of /etc/os-release @returns {System} */
export function parseOsRelease(text) {
	const value = (/** @type {string} */ name) => new RegExp(`^${name}="?([^"\n]*)"?$`, "m").exec(text)?.[1] ?? "";
	return { id: value("ID"), version: value("VERSION_ID"), codename: value("VERSION_CODENAME") };
}
