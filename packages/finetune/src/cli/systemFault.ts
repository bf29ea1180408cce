const FAULTS: Readonly<Record<string, readonly [message: string, hint: string]>> = {
	EACCES: ["permission denied", "choose another place, or ask for the right to write there"],
	EPERM: ["permission denied", "choose another place, or ask for the right to write there"],
	EROFS: ["the file system is read-only", "choose another place"],
	ENOSPC: ["the disk is full", "make room, or choose another place"],
	EDQUOT: ["the quota of the disk is used up", "make room, or choose another place"],
	ENOTDIR: ["a part of the path is a file, not a folder", "choose another path"],
	EISDIR: ["a folder stands where a file is expected", "choose another path"],
	ENOENT: ["no such file or folder", "see whether the path is right"],
	EEXIST: ["it exists already", "choose another path"],
	ENAMETOOLONG: ["the name is too long", "choose a shorter one"],
	EIO: ["the disk reports an error", "see what the system's log says"],
	EMFILE: ["too many files are open", "close other programs"],
};

/** What the file system refused, in words; undefined for any other error. */
export function systemFault(error: unknown): { readonly message: string; readonly hint: string } | undefined {
	if (!(error instanceof Error)) return undefined;
	const { code, path } = error as NodeJS.ErrnoException;
	const found = code === undefined ? undefined : FAULTS[code];
	if (found === undefined) return undefined;
	return { message: `${found[0]}${path === undefined ? "" : `: ${path}`} (${code})`, hint: found[1] };
}
