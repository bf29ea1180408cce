import { spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** Runs the compiler on a configuration in a folder of its own. Gives what it says. */
export function tsc(root: string, folder: string, config: object): string {
	mkdirSync(folder, { recursive: true });
	writeFileSync(join(folder, "tsconfig.json"), JSON.stringify(config));
	return spawnSync(join(root, "node_modules/.bin/tsc"), ["-p", folder], { cwd: root, encoding: "utf8" }).stdout;
}

/** Writes the declarations of the packages' sources. Gives, for every entry point by its name, the file that declares it. */
export function writeDeclarations(root: string, outDir: string): Readonly<Record<string, string>> {
	tsc(root, outDir, {
		extends: join(root, "tsconfig.json"),
		compilerOptions: { noEmit: false, declaration: true, emitDeclarationOnly: true, outDir, rootDir: join(root, "packages") },
		include: [join(root, "packages/*/src")],
	});
	const entries = readdirSync(join(root, "packages")).flatMap((name) => {
		const { exports } = JSON.parse(readFileSync(join(root, "packages", name, "package.json"), "utf8"));
		return Object.entries<Readonly<Record<string, string>>>(exports).flatMap(([entry, { "@hushgrad/source": source }]) =>
			source === undefined ? [] : [[join("@hushgrad", name, entry), join(outDir, name, source.replace(/\.ts$/, ".d.ts"))]],
		);
	});
	return Object.fromEntries(entries);
}
