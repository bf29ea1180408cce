import { access, constants } from "node:fs/promises";
import { dirname, resolve } from "node:path";

/** Looks, without a trace, whether `path` may be written, or made in the nearest folder above it that exists. @throws What the file system says. */
export async function checkWritable(path: string): Promise<void> {
	const here = resolve(path);
	await access(here, constants.W_OK).catch((error: NodeJS.ErrnoException) => {
		const above = dirname(here);
		if (error.code !== "ENOENT" || above === here) throw error;
		return checkWritable(above);
	});
}
