import { stat } from "node:fs/promises";
import { join } from "node:path";
import { FormatError } from "@hushgrad/tensor";

/** @throws FormatError for a folder that is no model. */
export async function checkModelFolder(model: string): Promise<void> {
	const hint = "--model names a folder with config.json, *.safetensors and tokenizer.model";
	const kindOf = (path: string) =>
		stat(path).then(
			(s) => (s.isDirectory() ? "folder" : "file"),
			() => undefined,
		);
	const kind = await kindOf(model);
	if (kind === undefined) throw new FormatError("model/missing", "the folder of the model does not exist", { path: model, hint });
	if (kind === "file") throw new FormatError("model/missing", "the model is a file, expected a folder", { path: model, hint });
	const missing: string[] = [];
	for (const name of ["config.json", "tokenizer.model"]) if ((await kindOf(join(model, name))) !== "file") missing.push(name);
	if (missing.length > 0)
		throw new FormatError("model/missing", `the folder of the model has no ${missing.join(" and no ")}`, { path: model, hint });
}
