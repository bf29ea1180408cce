/** Where Chromium and SwiftShader are on this machine; the tests' second and third driver. */
import { existsSync } from "node:fs";

const CHROMIUM = ["/usr/bin/chromium-headless-shell", "/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
const SWIFTSHADER = ["/usr/lib/chromium", "/usr/lib64/chromium-browser", "/opt/google/chrome"].map((d) => `${d}/vk_swiftshader_icd.json`);

/** @param {string} variable @param {readonly string[]} paths */
const find = (variable, paths) => process.env[variable] ?? paths.find(existsSync);

export const chromium = () => find("HUSHGRAD_CHROMIUM", CHROMIUM);
export const swiftShader = () => find("HUSHGRAD_SWIFTSHADER", SWIFTSHADER);

/** The path, or an error that names what to do. @param {string | undefined} path @param {string} name */
export function required(path, name) {
	if (path === undefined) throw new Error(`${name} is not installed; type: npm run browser`);
	if (!existsSync(path)) throw new Error(`${name} is not at ${path}, where HUSHGRAD_${name.toUpperCase()} says it is`);
	return path;
}
