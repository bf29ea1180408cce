/**
 * What to do about a missing driver or browser. Pure functions of what the machine is, so that every case can be tested.
 *
 * @typedef {{ id: string, version: string }} System  from /etc/os-release
 * @typedef {object} Facts
 * @property {boolean} isThere  what is asked for
 * @property {System} system
 * @property {string} aptSources  text of the system's package sources
 * @property {boolean} isRoot
 * @property {boolean} hasSudo  without a password
 * @property {boolean} isForbidden  by HUSHGRAD_NO_INSTALL
 * @typedef {{ kind: "none" | "install" | "tell", what: string, commands: readonly string[] }} Plan
 *   `what` is done, or is to be done; commands are lines of one shell session; where kind is "install", the last one
 *   cleans up and always runs
 */

/**
 * @typedef {object} Wanted
 * @property {readonly string[]} packages  of apt
 * @property {(system: System) => boolean} isOffered  by the system's package sources
 * @property {(system: System) => string | undefined} suite  to take it from, where it is not the system's own
 * @property {string} byHand
 * @property {Readonly<Record<string, string>>} elsewhere  commands for other systems
 */

/**
 * Debian 12's own Mesa is 22.3, which Dawn rejects.
 * @type {Readonly<Record<string, string>>}
 */
const BACKPORTS = { 12: "bookworm-backports" };

/** @type {Wanted} */
const DRIVER = {
	packages: ["mesa-vulkan-drivers", "libvulkan1"],
	isOffered: ({ id, version }) => isDebian(id, version) || (id === "ubuntu" && Number(version) >= 24.04),
	suite: ({ id, version }) => (id === "debian" ? BACKPORTS[version] : undefined),
	byHand: "install a Vulkan driver by hand: your GPU's, or Mesa 23 or newer, whose lavapipe needs no GPU",
	elsewhere: {
		fedora: "sudo dnf install mesa-vulkan-drivers vulkan-loader",
		arch: "sudo pacman -S vulkan-swrast vulkan-icd-loader",
	},
};

/** Debian's Chromium brings SwiftShader along. @type {Wanted} */
const BROWSER = {
	packages: ["chromium-headless-shell", "libvulkan1"],
	isOffered: ({ id, version }) => isDebian(id, version),
	suite: () => undefined,
	byHand: "install Chromium by hand, and name it and its vk_swiftshader_icd.json in HUSHGRAD_CHROMIUM and HUSHGRAD_SWIFTSHADER",
	elsewhere: { fedora: "sudo dnf install chromium-headless", arch: "sudo pacman -S chromium" },
};

export const driverPlan = (/** @type {Facts} */ facts) => planFor(DRIVER, facts);
export const browserPlan = (/** @type {Facts} */ facts) => planFor(BROWSER, facts);

/** @param {Wanted} wanted @param {Facts} facts @returns {Plan} */
function planFor(wanted, { isThere, system, aptSources, isRoot, hasSudo, isForbidden }) {
	if (isThere) return { kind: "none", what: "it is there", commands: [] };
	if (!wanted.isOffered(system)) {
		const command = wanted.elsewhere[system.id];
		return { kind: "tell", what: wanted.byHand, commands: command === undefined ? [] : [command] };
	}
	const suite = wanted.suite(system);
	const commands = (/** @type {string} */ prefix) => aptCommands({ prefix, suite, aptSources, packages: wanted.packages.join(" ") });
	const installing = `installing ${wanted.packages.join(" and ")}`;
	if (isForbidden) return { kind: "tell", what: `HUSHGRAD_NO_INSTALL forbids ${installing}`, commands: commands(isRoot ? "" : "sudo ") };
	const byApt = `${installing} by apt${suite === undefined ? "" : `, from ${suite}`}`;
	if (isRoot) return { kind: "install", what: byApt, commands: commands("") };
	if (hasSudo) return { kind: "install", what: `${byApt}, with sudo`, commands: commands("sudo -n ") };
	return { kind: "tell", what: `${installing} needs root`, commands: commands("sudo ") };
}

/**
 * The line before an installation, or before the commands to type: why, what, and how to forbid it.
 * @param {string} problem @param {Plan} plan
 */
export function announcement(problem, { kind, what, commands }) {
	if (kind === "install") return `${problem}; ${what} (HUSHGRAD_NO_INSTALL=1 forbids it).`;
	return `${problem}; ${what}.${commands.length > 0 ? " Type:" : ""}`;
}

/** Whether this environment forbids every installation. @param {Readonly<Record<string, string | undefined>>} env */
export const isInstallForbidden = ({ HUSHGRAD_NO_INSTALL: value = "" }) => !["", "0"].includes(value);

/** Debian's testing and unstable have no version. @param {string} id @param {string} version */
const isDebian = (id, version) => id === "debian" && (version === "" || Number(version) >= 12);

/**
 * apt gets a folder of its own for lists and downloads, and for a copy of sources.list with the backports, so that the
 * system's sources and lists stay as they are. A suite that the system has already is not named twice: apt refuses
 * two entries with different keys.
 * @param {{ prefix: string, suite: string | undefined, aptSources: string, packages: string }} how
 */
function aptCommands({ prefix, suite, aptSources, packages }) {
	const isNew = suite !== undefined && !aptSources.split("\n").some((line) => !line.trimStart().startsWith("#") && line.includes(suite));
	const folders = '-o Dir::State::lists="$D/lists" -o Dir::Cache="$D/cache"';
	const options = `-q -o DPkg::Lock::Timeout=120 ${folders}${isNew ? ' -o Dir::Etc::sourcelist="$D/sources.list"' : ""}`;
	const target = suite === undefined ? "" : `-t ${suite} `;
	const list = `(cat /etc/apt/sources.list 2>/dev/null || true; echo "deb http://deb.debian.org/debian ${suite} main") > "$D/sources.list"`;
	return [
		'D=$(mktemp -d) && chmod 755 "$D" && mkdir -p "$D/lists/partial" "$D/cache/archives/partial"',
		...(isNew ? [list] : []),
		`${prefix}apt-get ${options} update || true`,
		`${prefix}env DEBIAN_FRONTEND=noninteractive apt-get -y ${options} --no-install-recommends ${target}install ${packages}`,
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
