#!/usr/bin/env bash
# Takes all figures that need a GPU, on a machine that has one, a Python with torch
# and jax's CUDA plugin, and neither Go nor a network.
#
#     OUT=DIR bench/gpu.sh [DEVICE [FLAG...]]      DEVICE: cuda (default), cuda:N, cpu
#
# It runs bin/nb201 and bin/bench, which were built elsewhere, and finds xautodl in
# bin/xautodl-1.0.0-*.whl if Python has none (README.md says how to fill bin/). FLAGs
# go to bin/bench. Under OUT: log.txt, fp32/ and tf32/ with the tables. It ends within
# LIMIT seconds (default 540); each part keeps what it found if a later one fails.
set -uo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
out=$(mkdir -p "${OUT:?name a directory for the tables in OUT}" && cd "$OUT" && pwd) || exit
device=${1:-cuda}
shift $(($# > 0 ? 1 : 0))
limit=${LIMIT:-540}
python=${NB201_PYTHON:-$(command -v python3)} || exit
export NB201_PYTHON=$python PYTHONUNBUFFERED=1
for wheel in "$root"/bin/xautodl-*.whl; do
	[ -e "$wheel" ] && export PYTHONPATH=$wheel${PYTHONPATH:+:$PYTHONPATH} # Python imports from a zip file
done

# part SECONDS NAME COMMAND... runs a command as long as it and the limit allow.
part() {
	local left=$((limit - SECONDS)) most=$1 name=$2 began=$SECONDS code=0
	shift 2
	printf '\n== %s\n' "$name"
	if [ "$left" -le 5 ]; then
		echo "no time left"
		return 1
	fi
	timeout --kill-after=5 $((left < most ? left : most)) "$@" || code=$?
	printf '== %s: %d s, exit code %d\n' "$name" $((SECONDS - began)) $code
	return $code
}

# cuda_plugin prints the path of the CUDA plugin that jax brought.
cuda_plugin() {
	"$python" - <<'PYTHON'
import glob, importlib.util, os, sys
spec = importlib.util.find_spec("jax_plugins")
places = spec.submodule_search_locations if spec else []
found = [f for p in places for f in sorted(glob.glob(os.path.join(p, "*", "xla_cuda_plugin.so")))]
sys.exit("python has no jax_plugins with an xla_cuda_plugin.so") if not found else print(found[-1])
PYTHON
}

all() {
	local failed=0 gpu=()
	date -u
	uname -srm
	if [[ $device == cuda* ]]; then
		nvidia-smi
		gpu=(-steps 50) # a step is too short to time alone
		if [ -z "${GOMLX_BACKEND:-}" ]; then
			GOMLX_BACKEND=xla:$(cuda_plugin) || return
			export GOMLX_BACKEND
		fi
	fi
	echo "plugin: ${GOMLX_BACKEND:-installed}; python: $python"
	part 60 'doctor' "$root/bin/nb201" doctor || true # tells what it misses by its exit code
	part 240 'fp32' "$root/bin/bench" -device "$device" "${gpu[@]}" -save "$out/fp32" "$@" || failed=1
	local trial
	trial=$(mktemp -d)
	part 120 'a trial: digits, 12 epochs' "$root/bin/nb201" train 0 --dataset digits --epochs 12 --seed 777 \
		--device "$device" --out "$trial" || failed=1
	rm -rf "$trial"
	if [[ $device == cuda* ]]; then
		part 400 'tf32, with torch.compile' "$root/bin/bench" -device "$device" "${gpu[@]}" -precision tf32 \
			-modes channels_last,contiguous,compile -save "$out/tf32" "$@" || failed=1
	fi
	return $failed
}

all "$@" 2>&1 | tee "$out/log.txt"
