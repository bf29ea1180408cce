/**
 * What to do about the driver. A pure function of what the machine is, so that every case can be tested.
 *
 * @typedef {{ id: string, version: string }} System  from /etc/os-release
 * @typedef {object} Facts
 * @property {boolean} hasAdapter
 * @property {System} system
 * @property {string} aptSources  text of the system's package sources
 * @property {boolean} isRoot
 * @property {boolean} hasSudo  without a password
 * @property {boolean} isForbidden  by HUSHGRAD_NO_DRIVER_INSTALL
 * @typedef {{ kind: "none" | "install" | "tell", reason: string, commands: readonly string[] }} Plan
 *   commands are lines of one shell session; where kind is "install", the last one cleans up and always runs
 */

const PACKAGES = "mesa-vulkan-drivers libvulkan1";

/**
 * Debian 12's own Mesa is 22.3, which Dawn rejects.
 * @type {Readonly<Record<string, string>>}
 */
const BACKPORTS = { 12: "bookworm-backports" };

/** @type {Readonly<Record<string, string>>} */
const ELSEWHERE = {
	fedora: "sudo dnf install mesa-vulkan-drivers vulkan-loader",
	arch: "sudo pacman -S vulkan-swrast vulkan-icd-loader",
};

/** @param {Facts} facts @returns {Plan} */
export function driverPlan({ hasAdapter, system, aptSources, isRoot, hasSudo, isForbidden }) {
	if (hasAdapter) return { kind: "none", reason: "there is an adapter", commands: [] };
	if (!hasFittingMesa(system)) {
		const reason = "install a Vulkan driver by hand: your GPU's, or Mesa 23 or newer, whose lavapipe needs no GPU";
		const command = ELSEWHERE[system.id];
		return { kind: "tell", reason, commands: command === undefined ? [] : [command] };
	}
	const commands = (/** @type {string} */ prefix) => aptCommands({ prefix, suite: backportsOf(system), aptSources });
	if (isForbidden) {
		return { kind: "tell", reason: "HUSHGRAD_NO_DRIVER_INSTALL forbids installing it", commands: commands(isRoot ? "" : "sudo ") };
	}
	if (isRoot) return { kind: "install", reason: "installing Mesa's software driver", commands: commands("") };
	if (hasSudo) return { kind: "install", reason: "installing Mesa's software driver with sudo", commands: commands("sudo -n ") };
	return { kind: "tell", reason: "installing the driver needs root", commands: commands("sudo ") };
}

/** Debian's testing and unstable have no version. @param {System} system */
function hasFittingMesa({ id, version }) {
	if (id === "debian") return version === "" || Number(version) >= 12;
	return id === "ubuntu" && Number(version) >= 24.04;
}

/** @param {System} system @returns {string | undefined} */
function backportsOf({ id, version }) {
	return id === "debian" ? BACKPORTS[version] : undefined;
}

/**
 * apt gets a folder of its own for lists and downloads, and for a copy of sources.list with the backports, so that the
 * system's sources and lists stay as they are. A suite that the system has already is not named twice: apt refuses
 * two entries with different keys.
 * @param {{ prefix: string, suite: string | undefined, aptSources: string }} how
 */
function aptCommands({ prefix, suite, aptSources }) {
	const isNew = suite !== undefined && !aptSources.split("\n").some((line) => !line.trimStart().startsWith("#") && line.includes(suite));
	const folders = '-o Dir::State::lists="$D/lists" -o Dir::Cache="$D/cache"';
	const options = `-q -o DPkg::Lock::Timeout=120 ${folders}${isNew ? ' -o Dir::Etc::sourcelist="$D/sources.list"' : ""}`;
	const target = suite === undefined ? "" : `-t ${suite} `;
	const list = `(cat /etc/apt/sources.list 2>/dev/null || true; echo "deb http://deb.debian.org/debian ${suite} main") > "$D/sources.list"`;
	return [
		'D=$(mktemp -d) && chmod 755 "$D" && mkdir -p "$D/lists/partial" "$D/cache/archives/partial"',
		...(isNew ? [list] : []),
		`${prefix}apt-get ${options} update || true`,
		`${prefix}env DEBIAN_FRONTEND=noninteractive apt-get -y ${options} --no-install-recommends ${target}install ${PACKAGES}`,
		`${prefix}rm -r "$D"`,
	];
}

/** @param {string} text  of /etc/os-release @returns {System} */
export function parseOsRelease(text) {
	const value = (/** @type {string} */ name) => new RegExp(`^${name}="?([^"\n]*)"?$`, "m").exec(text)?.[1] ?? "";
	return { id: value("ID"), version: value("VERSION_ID") };
}

/** One script of a plan's commands that stops at the first failure and cleans up in any case. @param {Plan} plan */
export function scriptOf({ commands }) {
	const [open, ...rest] = commands;
	return ["set -e", open, `trap '${rest.at(-1)}' EXIT`, "trap 'exit 1' INT TERM", ...rest.slice(0, -1)].join("\n");
}
