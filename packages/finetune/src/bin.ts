#!/usr/bin/env node
import { readFileSync } from "node:fs";
import { commands } from "./cli/commands.ts";
import { main } from "./cli/main.ts";
import { processTerminal } from "./cli/processTerminal.ts";

const { version } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8")) as { readonly version: string };
process.exitCode = await main(commands, process.argv.slice(2), processTerminal(), version);
// A driver's thread that is left must not keep the process.
setTimeout(() => process.exit(), 2000).unref();
