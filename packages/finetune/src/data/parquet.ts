import { FormatError } from "@hushgrad/tensor";
import { parquetMetadata, parquetReadObjects } from "hyparquet";
import { compressors } from "hyparquet-compressors";
import { tableOf } from "./json.ts";
import type { Table } from "./table.ts";

/** Bytes of a column chunk when unpacked, and how many times more than packed, at most. */
const MOST_BYTES = 256 * 2 ** 20;
const MOST_TIMES = 200;

/** Reads a parquet file of flat columns. @throws FormatError, also for one that unpacks to much more than it is. */
export async function readParquetTable(bytes: Uint8Array<ArrayBuffer>, path: string): Promise<Table> {
	const file = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
	const refuse = (what: string, cause?: unknown): never => {
		throw new FormatError("data/parquet", what, { path, hint: "write it again, with flat columns of texts", cause });
	};
	const metadata = tried(() => parquetMetadata(file)) ?? refuse("the data is no parquet file, or it is damaged");
	for (const { columns } of metadata.row_groups) {
		for (const { meta_data: m } of columns) {
			const size = Number(m?.total_uncompressed_size ?? 0);
			const packed = Math.max(1, Number(m?.total_compressed_size ?? 0));
			if (size > MOST_BYTES || size / packed > MOST_TIMES || packed > bytes.length) {
				refuse(`a column says that it unpacks to ${size} bytes, at most ${MOST_BYTES} are read, and ${MOST_TIMES} times what it is packed`);
			}
		}
	}
	const rows = await parquetReadObjects({ file, metadata, compressors }).catch(() =>
		refuse("the data cannot be unpacked: the file is damaged"),
	);
	return tableOf(
		rows.map((values, i) => ({ place: i + 1, values })),
		"row",
	);
}

function tried<T>(read: () => T): T | undefined {
	try {
		return read();
	} catch {
		return undefined;
	}
}
