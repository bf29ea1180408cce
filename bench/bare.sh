#!/usr/bin/env bash
# From nothing to a chat, timed: what is committed is cloned into a folder of its own, with an empty home, no cache of npm's and none of the
# driver's, and the first lines of README.md are typed there; then a practitioner's path, from a table of 60 rows to a chat with the adapter.
#
#     bash bench/bare.sh            the demo and the practitioner's path
#     bash bench/bare.sh --tests    npm test as well
#
# Prints a line for each command: its seconds, its exit code.
set -u
case "${1:-}" in
"" | --tests) ;;
*)
	echo "bench/bare.sh takes --tests and nothing else" >&2
	exit 2
	;;
esac

repository=$(cd "$(dirname "$0")/.." && pwd)
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
mkdir "$place/home"
export HOME="$place/home" npm_config_cache="$place/npm" XDG_CACHE_HOME="$place/cache" MESA_SHADER_CACHE_DIR="$place/mesa"

failed=0
timed() { # NAME COMMAND...
	local name=$1 started code tenths
	shift
	started=$(date +%s%N)
	"$@" >"$place/log" 2>&1
	code=$?
	tenths=$((($(date +%s%N) - started) / 100000000))
	printf '%6d.%d s  exit %d  %s\n' $((tenths / 10)) $((tenths % 10)) "$code" "$name"
	if [ "$code" -ne 0 ]; then
		failed=1
		tail -20 "$place/log"
	fi
}

timed "git clone" git clone --quiet "$repository" "$place/hushgrad"
cd "$place/hushgrad" || exit 1
uptime
timed "npm ci && npm run demo, from nothing" sh -c "npm ci && npm run demo"
timed "npm run demo, again" npm run demo
if [ "${1:-}" = "--tests" ]; then timed "npm ci && npm test" sh -c "npm ci && npm test"; fi

# Sixty rows as a spreadsheet saves them.
node -e '
	const cards = JSON.parse(require("fs").readFileSync("assets/flashcards.json", "utf8")).slice(100, 160);
	const quoted = (text) => `"${text.replaceAll("\"", "\"\"")}"`;
	console.log(["question,answer", ...cards.map(({ input, output }) => `${quoted(input)},${quoted(output)}`)].join("\n"));
' >cards.csv
timed "train on 60 rows" npm run hushgrad -- train --data cards.csv --model assets/tiny-vaultgemma --records 54 --output out/run
timed "chat with the adapter" sh -c "echo 'What does insulin do?' | npm run --silent hushgrad -- chat out/run"
cat "$place/log"
uptime
exit "$failed"
