#!/usr/bin/env bash
# Runs the tests and the measurements on a Linux x64 machine that has a GPU and no network.
#
#   bench/gpu.sh pack FILE          here, after npm ci: Node and the modules that are needed, into FILE (about 45 MB)
#   bench/gpu.sh unpack FILE        there, in a checkout: brings them in place
#   bench/gpu.sh run OUT PART...    there: writes what the parts print into the folder OUT
#
# Parts: doctor (the adapter), step (a private step and a token of VaultGemma 1B, kernel by kernel), matrixStep (the same on plan
# matrix), plain (the plain step), tests (those of the library, on the GPU), bench (the rows of npm run bench, without rivals), matrix (products of every plan),
# tiles (those of plan matrix, one by one), torch (the step in PyTorch, where python3 has torch and transformers).
# HUSHGRAD_TEST_WORKERS: processes that run tests, 8 when unset.
set -euo pipefail
cd "$(dirname "$0")/.."

NEEDED_ONLY_TO_BUILD=(
	'webgpu/dist/darwin*' 'webgpu/dist/win32*' webgpu/dist/linux-arm64 @biomejs @arethetypeswrong webpack 'playwright*' @typescript typescript
	@shikijs prettier highlight.js axe-core @changesets caniuse-lite terser @webassemblyjs 'typedoc*' @stryker-mutator @types @babel
	.cache '.vite*' .bin
)

pack() {
	local file stage
	file=$(realpath -m "$1")
	stage=$(mktemp -d)
	trap "rm -rf '$stage'" EXIT
	mkdir -p "$stage/node_modules/.node" "$(dirname "$file")"
	cp "$(readlink -f "$(command -v node)")" "$stage/node_modules/.node/node"
	strip "$stage/node_modules/.node/node" 2>/dev/null || true
	tar -cf "$stage/all.tar" "${NEEDED_ONLY_TO_BUILD[@]/#/--exclude=node_modules/}" --exclude='*.map' node_modules
	tar -rf "$stage/all.tar" -C "$stage" node_modules/.node
	xz -T0 -6 -c "$stage/all.tar" > "$file"
	echo "$file: $(($(stat -c %s "$file") / 1000000)) MB"
}

unpack() { tar -xJf "$1"; }

script() { node --import tsx -C @hushgrad/source "$@"; }

part() {
	local out=$1
	case $2 in
		doctor) script packages/finetune/src/bin.ts doctor ;;
		step) script tools/roofline.ts --measure --adapter h100 --model vaultgemma-1b -B 8 -T 128 --json "$out/step.json" ;;
		matrixStep) script tools/roofline.ts --measure --plan matrix --adapter h100 --model vaultgemma-1b -B 8 -T 128 --json "$out/matrixStep.json" ;;
		plain) script tools/roofline.ts --measure --plain --adapter h100 --model vaultgemma-1b -B 8 -T 128 --json "$out/plain.json" ;;
		tests) node node_modules/vitest/vitest.mjs run --maxWorkers "${HUSHGRAD_TEST_WORKERS:-8}" --reporter=verbose --no-color tests/{tensor,nn,dp,training,engine,models} \
			2>&1 | tee "$out/tests.txt" | grep --line-buffered -E '^ *(×|FAIL|Tests|Test Files)' ;;
		bench) script bench/suite.ts --json "$out/bench.json" ;;
		matrix) script bench/matrix.ts ;;
		tiles) script tests/tools/matrixTiles.run.ts 1024x1152x6912 1024x6912x1152 4096x4096x4096 ;;
		torch) python3 bench/torch/privateStep.py --device cuda --batch 8 --length 128 | tee "$out/torch.json" ;;
		*) echo "no part $2" >&2; return 2 ;;
	esac
}

run() {
	local out=$1 name status=0
	shift
	mkdir -p "$out"
	[[ -x node_modules/.node/node ]] && export PATH="$PWD/node_modules/.node:$PATH"
	for name in "$@"; do
		echo "== $name"
		local start=$SECONDS
		part "$out" "$name" > >(tee "$out/$name.txt") 2>&1 || { status=1; echo "$name failed"; }
		echo "== $name: $((SECONDS - start)) s"
	done
	return $status
}

case ${1:-} in
	pack | unpack) "$1" "$2" ;;
	run) shift; run "$@" ;;
	*) sed -n '2,12s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac
