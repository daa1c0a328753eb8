#!/usr/bin/env bash
# Makes all tables of a device, on a machine that has one, a Python with torch and jax's
# CUDA plugin, and neither Go nor a network.
#
#     OUT=DIR bench/gpu.sh [DEVICE [TABLE...]]
#
# DEVICE: cuda (default), cuda:N, or cpu, which takes small networks, to prove the script.
# TABLES: those below, by their names; all of them in this order by default. A call ends
# within LIMIT seconds (default 540), and a table keeps what it found if it or a later one
# is cut off or fails, so that several calls can share the work:
#
#     step-fp32 step-tf32 step-bf16    a step beside PyTorch eager, torch.compile and JAX
#     trial        12 epochs on cifar10-valid, noise in files of full size
#     compile      the programs of a trial, cold and kept
#     several      one, two and three processes on the device
#     campaign     the waiting for programs that is left
#     limits       the least time of the whole benchmark
#     sample       architectures drawn at random, in the time that is left; OUT/sample.jsonl
#                  keeps them, and the next call goes on from there
#
# ARCHS and DATASETS name what step-* measures (default median, cifar10). It runs bin/nb201
# and bin/bench, which were built elsewhere, and finds xautodl in bin/xautodl-1.0.0-*.whl if
# Python has none (README.md says how to fill bin/). Under OUT: log.txt and the tables.
set -uo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
out=$(mkdir -p "${OUT:?name a directory for the tables in OUT}" && cd "$OUT" && pwd) || exit
device=${1:-cuda}
shift $(($# > 0 ? 1 : 0))
tables=("$@")
if [ ${#tables[@]} -eq 0 ]; then
	tables=(step-fp32 trial step-tf32 step-bf16 compile several campaign limits sample)
fi
limit=${LIMIT:-540}
python=${NB201_PYTHON:-$(command -v python3)} || exit
export NB201_PYTHON=$python PYTHONUNBUFFERED=1
for wheel in "$root"/bin/xautodl-*.whl; do
	[ -e "$wheel" ] && export PYTHONPATH=$wheel${PYTHONPATH:+:$PYTHONPATH} # Python imports from a zip file
done

# part SECONDS NAME COMMAND... runs a command as long as it and the limit allow. It is told
# to stop before it is killed, so that it can write what it has found.
part() {
	local left=$((limit - SECONDS - 10)) most=$1 name=$2 began=$SECONDS code=0
	shift 2
	printf '\n== %s\n' "$name"
	if [ "$left" -le 5 ]; then
		echo "no time left"
		return 1
	fi
	timeout --kill-after=10 $((left < most ? left : most)) "$@" || code=$?
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

# table SECONDS COMMAND FLAG... makes a table in at most so many seconds.
table() {
	local most=$1 command=$2
	shift 2
	part "$most" "$command $*" "$root/bin/bench" "$command" --device "$device" --save "$out" "${size[@]}" "$@"
}

make_table() {
	local modes=channels_last,contiguous,compile,jax
	local steps=(--steps 50 --rounds 5) trial=(--dataset cifar10-valid --epochs 12 --rounds 1) # a step is too short to time alone
	local few=(--archs 8 --dataset cifar10-valid --epochs 12)
	if [ "$device" = cpu ]; then
		modes=channels_last
		steps=(--steps 1 --rounds 2)
		trial=(--dataset digits --epochs 2 --rounds 1)
		few=(--archs 2 --dataset digits --epochs 2)
	fi
	case $1 in
	step-*)
		table 240 step --precision "${1#step-}" --archs "${ARCHS:-median}" --datasets "${DATASETS:-cifar10}" --modes "$modes" "${steps[@]}"
		;;
	trial) table 150 trial "${trial[@]}" ;;
	compile) table 150 compile --archs "${ARCHS:-median}" --datasets cifar10-valid ;;
	several) table 150 several --archs "${ARCHS:-median}" --datasets cifar10 "${steps[@]}" ;;
	campaign) table 200 campaign "${few[@]}" ;;
	limits) table 60 limits --archs 0,median,1462 ;;
	sample)
		local left=$((limit - SECONDS - 60)) number=50
		[ "$device" = cpu ] && number=3
		table 600 sample --archs $number --datasets cifar10,ImageNet16-120 "${steps[@]}" --state "$out/sample.jsonl" --within $((left > 1 ? left : 1))s
		;;
	*)
		echo "unknown table $1"
		return 2
		;;
	esac
}

all() {
	local failed=0 size=()
	date -u
	uname -srm
	if [[ $device == cuda* ]]; then
		nvidia-smi
		if [ -z "${GOMLX_BACKEND:-}" ]; then
			GOMLX_BACKEND=xla:$(cuda_plugin) || return
			export GOMLX_BACKEND
		fi
	else
		size=(--cells 1 --batch 32)
	fi
	echo "plugin: ${GOMLX_BACKEND:-installed}; python: $python"
	part 60 'doctor' "$root/bin/nb201" doctor || true # tells what it misses by its exit code
	local name
	for name in "${tables[@]}"; do
		if [ "$device" = cpu ] && [ "$name" = step-tf32 ]; then
			printf '\n== step-tf32: needs a GPU\n'
			continue
		fi
		make_table "$name" || failed=1
	done
	return $failed
}

all 2>&1 | tee -a "$out/log.txt"
