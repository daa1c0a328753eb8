#!/usr/bin/env bash
# Tests nb201 on a machine that has a GPU, its driver, and a Python with torch and jax's CUDA
# plugin, but neither Go, git nor a network, in two calls of at most ten minutes each.
#
#     OUT=DIR bench/gpu.sh [DEVICE] [first|second|PART...]
#
# DEVICE: cuda (default), cuda:N, or cpu, which uses small networks to test this script.
# `first` (default) finds out whether nb201 trains at all and which XLA flags are fastest, and
# then compares it with PyTorch and JAX:
#
#     smoke         architecture 0 on digits; if that fails, without autotuning and without
#                   command buffers, and a convolution in JAX alone, to distinguish a faulty
#                   machine from a fault in nb201
#     plain, loop, concurrent, nchw   images/s of the median architecture with XLA's usual command
#                   buffers; with the whole loop of steps as one CUDA graph; with a graph in
#                   which independent kernels run side by side; and that in the layout NCHW.
#                   Later parts in fp32 use the fastest
#     tf32          the same in TF32, with nb201's flags
#     profile       the time of every kernel of a step, by Nsight Compute (ncu), without graphs
#     step          a step, compared with PyTorch (eager in both layouts, and torch.compile) and
#                   JAX. torch.compile fills its cache in the background from the start
#     bf16          16x16 images in bfloat16
#
# `second` uses nb201's flags and those in NB201_CUDA_FLAGS (log.txt of the first call ends with the
# fastest ones). Without its last two parts it should take four minutes (H200, 16 cores):
#
#     tests         the quick ones of the carried tests on the device, all at the same time
#     own           the same with nb201's own convolutions (NB201_GPU_KERNELS=on), and images/s with
#                   and without them. If the tests pass, and they are faster, later parts use them
#     archs         images/s of the cheapest and of the most expensive architecture
#     several       one, two and three processes on the device
#     mps           the same under NVIDIA's MPS, if nvidia-cuda-mps-control is installed. The
#                   daemon ends with the part; the settings of the card are left as they are
#     campaign      a campaign of three random architectures: how long trials wait for programs
#     trial         12 epochs on cifar10-valid, with noise in files of full size, beside PyTorch
#     sample        random architectures, in the time that is left
#
# Besides, there is `compile`: the programs of a trial, with an empty and with a full autotuning
# cache.
#
# A call ends within LIMIT seconds (default 570), and every part has a limit, too. After each
# part, the results are packed into OUT/gpu.tgz, so that at most one part is lost; a call with
# the same OUT adds to it. OUT/log.txt has what the call printed. In the archive, parts/ has the
# whole output of every part, and tables/ the tables and the stderr of every process.
#
# The programs come in bin/carry.tar.xz (nb201, bench and tests/) or as files in bin/, and
# xautodl as bin/xautodl-1.0.0-*.whl unless Python has it. tools/carry.sh packs them.
set -uo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
out=$(mkdir -p "${OUT:?name a directory for the results in OUT}" && cd "$OUT" && pwd) || exit
device=cuda
case ${1:-} in cpu | cuda*) device=$1 && shift ;; esac
parts=()
for name in "${@:-first}"; do
	case $name in
	first) parts+=(smoke plain loop concurrent nchw step profile tf32 tests bf16) ;;
	second) parts+=(tests own archs several mps campaign trial sample) ;;
	smoke | plain | loop | concurrent | nchw | tf32 | profile | step | bf16 | tests | own | archs | several | mps | campaign | compile | trial | sample)
		parts+=("$name")
		;;
	*)
		echo "gpu.sh: $name is neither a device nor a part; see the comment at the top of ${BASH_SOURCE[0]}" >&2
		exit 2
		;;
	esac
done
limit=${LIMIT:-570}
[[ $limit =~ ^[0-9]+$ ]] || { echo "gpu.sh: LIMIT=$limit: not a number of seconds" >&2; exit 2; }
python=${NB201_PYTHON:-$(command -v python3)} || { echo 'gpu.sh: python3 is missing; name a Python in NB201_PYTHON' >&2; exit 2; }
work=$(mktemp -d /tmp/nb201-gpu.XXXXXX) || exit
# stop_mps ends the MPS daemon if the part mps has started it.
stop_mps() {
	[ ! -d "$work/mps" ] || echo quit | CUDA_MPS_PIPE_DIRECTORY=$work/mps timeout 10 nvidia-cuda-mps-control
	rm -rf "$work/mps"
}
trap 'stop_mps; rm -rf "$work"' EXIT
mkdir -p "$work/tmp" "$work/pack/parts" "$work/pack/tables"
[ ! -e "$out/gpu.tgz" ] || tar -C "$work/pack" -xzf "$out/gpu.tgz" || exit
export NB201_PYTHON=$python PYTHONUNBUFFERED=1 HOME=${HOME:-$work} TMPDIR=$work/tmp
export TF_CPP_MIN_LOG_LEVEL=${TF_CPP_MIN_LOG_LEVEL:-1} # nb201 silences XLA otherwise
for wheel in "$root"/bin/xautodl-*.whl; do
	[ -e "$wheel" ] && export PYTHONPATH=$wheel${PYTHONPATH:+:$PYTHONPATH} # Python imports from a zip file
done
given=${NB201_CUDA_FLAGS:-} # XLA flags for every part, as name=value pairs; parts add to them
working='' faster='' best=0 # flags found by smoke, and by the comparison of flags, with their images/s
reserve=0                   # seconds that a part leaves for later ones

# pack updates the archive. If it is killed, the old or the new archive is left, whole.
pack() {
	cp "$out/log.txt" "$work/pack/log.txt"
	tar -C "$work/pack" -czf "$out/.gpu.tgz.new" . && mv "$out/.gpu.tgz.new" "$out/gpu.tgz"
}

# part SECONDS NAME COMMAND... runs a command for at most SECONDS within the limit of the call, and
# shows the end of its output. The command gets SIGTERM before it is killed, to write its results.
part() {
	local left=$((limit - SECONDS - 12 - reserve)) most=$1 name=$2 began=$SECONDS code=0
	local file=$work/pack/parts/$name.txt
	shift 2
	printf '\n== %s, at %d s: %s\n' "$name" "$SECONDS" "$*"
	[ -z "${NB201_CUDA_FLAGS:-}" ] || echo "NB201_CUDA_FLAGS=$NB201_CUDA_FLAGS"
	if [ "$left" -le 5 ]; then
		echo "== $name: no time left"
		echo "$name: no time left" >>"$work/pack/summary.txt"
		return 1
	fi
	timeout --kill-after=8 $((left < most ? left : most)) "$@" >"$file" 2>&1 </dev/null || code=$?
	tail -n 25 "$file" | cut -c1-600
	local says="$name: $((SECONDS - began)) s, exit code $code"
	[ $code -ne 124 ] || says+=", out of time"
	echo "== $says"
	echo "$says" >>"$work/pack/summary.txt"
	pack
	return $code
}

# site prints the directory of Python packages that contains jax's plugins.
site() {
	"$python" - <<'PYTHON'
import importlib.util, os
spec = importlib.util.find_spec("jax_plugins")
print(os.path.dirname(os.path.abspath(list(spec.submodule_search_locations)[0])) if spec else "")
PYTHON
}

# toolchain prints a directory with ptxas and libdevice for JAX: XLA looks in /usr/local/cuda and
# next to its plugin, but Python may have only those of Triton. nb201 finds them by itself.
toolchain() {
	local nvcc dir triton=$1/triton/backends/nvidia
	nvcc=$(command -v nvcc) && nvcc=$(dirname "$(dirname "$(readlink -f "$nvcc")")")
	for dir in $nvcc /usr/local/cuda /usr/local/cuda-* /opt/cuda "$1/nvidia/cu13" "$1/nvidia/cuda_nvcc"; do
		if [ -x "$dir/bin/ptxas" ] && [ -e "$dir/nvvm/libdevice/libdevice.10.bc" ]; then
			echo "$dir"
			return
		fi
	done
	[ -e "$triton/bin/ptxas" ] || return
	mkdir -p "$work/cuda/bin" "$work/cuda/nvvm/libdevice"
	ln -sf "$triton/bin/ptxas" "$work/cuda/bin/ptxas"
	ln -sf "$triton/lib/libdevice.10.bc" "$work/cuda/nvvm/libdevice/libdevice.10.bc"
	echo "$work/cuda"
}

facts() {
	date -u
	uname -srm
	echo "$(nproc) cores, $(grep MemTotal /proc/meminfo)"
	if [[ $device == cuda* ]]; then
		timeout 20 nvidia-smi
		timeout 20 nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.max.sm --format=csv
		head -1 /proc/driver/nvidia/version
		ls -d /usr/local/cuda* /opt/cuda
		command -v nvcc ptxas
		echo "ptxas and libdevice for JAX: ${cuda:-none}"
		ls "$site/nvidia" "$site/nvidia/cu13/lib"
	fi
	"$python" - <<'PYTHON'
import importlib.metadata, re, sys
print("Python", sys.version)
names = sorted({d.metadata["Name"] for d in importlib.metadata.distributions()}, key=str.lower)
print(*(f"{n} {importlib.metadata.version(n)}" for n in names if re.match("jax|nvidia|numpy|torch|triton|xautodl", n)), sep=", ")
PYTHON
}

# flags FLAGS prints the flags given by the user, those found by smoke, and FLAGS. Nothing can follow
# "off".
flags() {
	if [ "$given" = off ]; then
		echo off
	else
		xargs <<<"$given $working $1"
	fi
}

# with_flags FLAGS COMMAND... runs a command with these flags in NB201_CUDA_FLAGS.
with_flags() {
	local all
	all=$(flags "$1")
	shift
	if [ -n "$all" ]; then
		NB201_CUDA_FLAGS=$all "$@"
	else
		"$@"
	fi
}

# rate NAME FLAGS ARCH DATASET PRECISION [PROCESSES] measures the images per second on which nb201
# trains. It needs neither peaks nor PyTorch.
rate() {
	with_flags "$2 $(tuned "$5")" part 110 "$1" "$bin/bench" several --device "$device" --processes "${6:-1}" --modes none --side-limit 90s \
		--archs "$3" --datasets "$4" --precision "$5" --save "tables/$1" "${size[@]}" "${turns[@]}"
}

# images NAME prints the images per second that a part measured, or 0.
images() {
	"$python" - "tables/$1" <<'PYTHON'
import glob, json, sys
rows = [r for f in glob.glob(sys.argv[1] + "/*.json") for r in json.load(open(f))["rows"]]
print(int(rows[0]["images_per_second"]["median"]) if rows else 0)
PYTHON
}

# compare NAME FLAGS measures the images per second with these flags, and keeps the flags for later
# parts if they are the fastest so far.
compare() {
	rate "$1" "$2" median cifar10 fp32 || return
	local found
	found=$(images "$1")
	if [ "$found" -gt "$best" ]; then
		best=$found faster=$2
	fi
	echo "== images/s: $1 $found, best $best, with $faster"
}

# tuned PRECISION prints the flag for a directory in which XLA keeps the kernels that it found
# fastest. All parts share it, so that only the first one of a precision has to time kernels.
tuned() {
	[ "$device" = cpu ] || echo "xla_gpu_per_fusion_autotune_cache_dir=$work/autotune-$1"
}

# warm makes torch.compile fill its cache, so that the part step has time for it.
warm() {
	"$python" - <<PYTHON
import signal, sys
signal.alarm(150)
source = open("$root/bench/torch_side.py").read()
sys.argv = ["torch_side.py"]
exec(compile(source[: source.index("\nif sys.argv")], "torch_side.py", "exec"))
task = dict(
    device="$device", precision="fp32", mode="compile", seed=777, network="infer.tiny", classes=10, channels=16, cells=5,
    genotype="|nor_conv_3x3~0|+|skip_connect~0|none~1|+|skip_connect~0|avg_pool_3x3~1|nor_conv_1x1~2|", arch="",
    mean=[125, 123, 114], std=[63, 62, 67])
side = Side(task)
x = side.normalised(torch.randint(0, 256, (512, 3, 32, 32), dtype=torch.uint8, device=side.device))[:256]
y = torch.randint(0, 10, (256,), device=side.device)
for n in range(2):
    side.net.train()
    print(side.train(x, y))
    side.net.eval()
    print(side.evaluate(x, y), time.perf_counter() - STARTED, flush=True)
PYTHON
}

# profile measures each kernel of a step without graphs.
profile() {
	local ncu
	ncu=$(command -v ncu || compgen -G '/usr/local/cuda*/bin/ncu' || compgen -G '/opt/nvidia/nsight-compute/*/ncu')
	ncu=${ncu%%$'\n'*}
	if [ -z "$ncu" ] || [ "$device" = cpu ]; then
		echo '== profile: needs a GPU and Nsight Compute (ncu)'
		return
	fi
	# ncu must start the process that it profiles: it does not see the children of a program in Go.
	ncu+=' --clock-control none --cache-control none --metrics gpu__time_duration.sum,dram__bytes.sum'
	ncu+=" --csv --page raw --log-file $PWD/tables/profile.csv --launch-skip 500 --launch-count 500"
	with_flags "xla_gpu_enable_command_buffer= $(tuned fp32)" part 100 profile "$bin/bench" several --under "$ncu" --device "$device" \
		--processes 1 --modes none --side-limit 90s --archs median --datasets cifar10 --steps 3 --rounds 1
}

smoke() {
	local train=("$bin/nb201" train 0 --dataset digits --epochs 2 --seed 777 --cells 1 --device "$device" --out)
	with_flags '' part 90 smoke "${train[@]}" "$work/smoke" && return
	local try
	for try in xla_gpu_autotune_level=0 xla_gpu_enable_command_buffer= off; do
		if NB201_CUDA_FLAGS=$try NB201_PROGRAMS=off part 45 "smoke-${try%%=*}" "${train[@]}" "$work/smoke-${try%%=*}"; then
			if [ "$try" = off ]; then given=off; else working=$try; fi
			echo "== the other parts use $try"
			break
		fi
	done
	part 45 smoke-jax env JAX_PLATFORMS="${device%%:*}" "$NB201_JAX_PYTHON" -c '
import jax, jax.numpy as n
print(jax.devices())
print(jax.lax.conv_general_dilated(n.ones((8, 32, 32, 16)), n.ones((3, 3, 16, 16)), (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")).sum())' ||
		echo '== JAX alone fails as well, or is not installed (see above): check the machine first'
	return 1
}

# mps measures several processes under MPS.
mps() {
	if ! command -v nvidia-cuda-mps-control >/dev/null || [ "$device" = cpu ]; then
		printf '\n== mps: needs a GPU and nvidia-cuda-mps-control\n'
		return
	fi
	mkdir -p "$work/mps" "$work/mps-log"
	export CUDA_MPS_PIPE_DIRECTORY=$work/mps CUDA_MPS_LOG_DIRECTORY=$work/mps-log
	local code=0
	if timeout 10 nvidia-cuda-mps-control -d >parts/mps-control.txt 2>&1 </dev/null; then
		rate mps "$faster" median cifar10 fp32 1,2,3 || code=$?
	else
		code=1
		echo '== mps: the daemon does not start'
		cat parts/mps-control.txt
	fi
	stop_mps
	unset CUDA_MPS_PIPE_DIRECTORY CUDA_MPS_LOG_DIRECTORY
	tail -n 5 "$work"/mps-log/*.log
	return $code
}

# carried_test LABEL NAME SECONDS ONLY [ENV...] runs the tests that ONLY matches of a carried package.
carried_test() {
	local label=$1 name=$2 seconds=$3 only=$4 began=$SECONDS code=0 folder
	local file=parts/test-$label.txt
	shift 4
	folder=$(awk -v name="$name" '$1 == name { print $2 }' "$bin/tests/packages.txt")
	timeout --kill-after=8 "$seconds" env -C "$root/$folder" "$@" NB201_TEST_DEVICE="$device" \
		"$bin/tests/$name.test" -test.v -test.run "$only" >"$file" 2>&1 </dev/null || code=$?
	{
		grep -E '^ *(--- (FAIL|SKIP)|panic|[a-z_]+_test.go:)|^(PASS|FAIL|ok)' "$file" | head -30 | cut -c1-400
		[ $code -eq 0 ] || tail -n 15 "$file" | cut -c1-400
		echo "test-$label: $((SECONDS - began)) s, exit code $code" | tee -a summary.txt
	} >"$work/test-$label"
	cat "$work/test-$label" # at once, since other tests end at the same time
	return $code
}

# tests [PREFIX] runs carried tests at the same time, since they do not measure. Those that take longest on a
# GPU and passed are left out: float64 trajectories, rounding, stored weights.
tests() {
	local left=$((limit - SECONDS - 12 - reserve)) failed=0 running=() id prefix=${1:-}
	[ "$left" -lt 100 ] || left=100
	if [ ! -e "$bin/tests/packages.txt" ]; then
		printf '\n== tests: %s does not exist; pack the tests with tools/carry.sh\n' "$bin/tests/packages.txt"
		return
	fi
	printf '\n== tests, at %d s\n' "$SECONDS"
	if [ "$left" -le 20 ]; then
		echo '== tests: no time left'
		return 1
	fi
	carried_test "${prefix}network" network $left . & running+=($!)
	carried_test "${prefix}float32" train $left '^(TestGoldenTrajectoryFloat32|TestResumed)$/^(tss|sss|2019|1.7|modern)$' & running+=($!)
	carried_test "${prefix}tf32" train $left '^TestGoldenTrajectory(TF32|BFloat16)$' & running+=($!)
	# The other tests of e2e need the clients, which are missing.
	carried_test "${prefix}e2e" e2e $left '^(TestSameCommandTwice|TestKeptPrograms)$' -u NB201_PYTHON & running+=($!)
	for id in "${running[@]}"; do
		wait "$id" || failed=1
	done
	pack
	return $failed
}

# own tests and measures nb201's own convolutions, and keeps them on if that is right and faster.
own() {
	if [ "$device" = cpu ]; then
		printf '\n== own: needs a GPU\n'
		return
	fi
	rate own-off "$faster" median cifar10 fp32
	export NB201_GPU_KERNELS=on
	local failed=0
	tests own- || failed=1
	rate own-on "$faster" median cifar10 fp32
	rate own-tf32 "$faster" median cifar10 tf32
	echo "== images/s: $(images own-off) without nb201's convolutions, $(images own-on) with them"
	if [ $failed -eq 1 ] || [ "$(images own-on)" -le "$(images own-off)" ]; then
		unset NB201_GPU_KERNELS
	fi
	return $failed
}

# run_part NAME
run_part() {
	local usual=FUSION,CUBLAS,CUBLASLT,CUSTOM_CALL,CUDNN # XLA's own command buffers
	local buffers=xla_gpu_enable_command_buffer key=cifar10-valid epochs=12 left
	local mode=xla_gpu_command_buffer_scheduling_mode nchw=xla_gpu_force_conv_nchw
	local plain="$mode=LHS $nchw=false" # XLA's defaults, which are not nb201's
	local graph="$buffers=$usual,CONVOLUTION xla_gpu_graph_min_graph_size=1 $plain"
	local loop="$buffers=$usual,CONVOLUTION,WHILE,CONDITIONAL xla_gpu_graph_min_graph_size=1"
	reserve=0
	case $1 in plain | loop | concurrent | nchw) [ ${#parts[@]} -eq 1 ] || reserve=150 ;; esac
	case $1 in
	smoke) smoke ;;
	plain) compare plain "$buffers=$usual xla_gpu_graph_min_graph_size=5 $plain" ;;
	loop) compare loop "$loop $plain" || compare graph "$graph" ;;
	concurrent) compare concurrent "$loop $mode=CONCURRENT $nchw=false" ;;
	nchw) compare nchw "$loop $mode=CONCURRENT $nchw=true" ;;
	tf32)
		if [ "$device" = cpu ]; then
			printf '\n== tf32: needs a GPU\n'
		else
			rate tf32 '' median cifar10 tf32
		fi
		;;
	profile) profile ;;
	bf16) rate bf16 '' median ImageNet16-120 bf16 ;;
	step)
		with_flags "$faster $(tuned fp32)" part 250 step "$bin/bench" step --device "$device" --archs median --datasets cifar10 --modes channels_last,contiguous,jax,compile \
			--side-limit 100s --peaks tables/peaks.json --save tables/step "${size[@]}" "${turns[@]}"
		;;
	tests) tests ;;
	own) own ;;
	archs) rate archs "$faster" 0,1462 cifar10 fp32 ;;
	several) rate several "$faster" median cifar10 fp32 1,2,3 ;;
	mps) mps ;;
	campaign)
		[ "$device" != cpu ] || key=digits epochs=2
		with_flags "$faster" part 90 campaign "$bin/bench" campaign --device "$device" --dataset $key --epochs $epochs --archs 3 --save tables/campaign "${size[@]}"
		;;
	compile)
		local cache="$faster"
		[ "$device" = cpu ] || cache="$faster xla_gpu_per_fusion_autotune_cache_dir=$work/autotune"
		local filled
		for filled in compile compile-again; do
			with_flags "$cache" part 110 $filled "$bin/bench" compile --device "$device" --archs median --datasets $key --save "tables/$filled" "${size[@]}" || return
		done
		;;
	trial)
		[ "$device" != cpu ] || key=digits epochs=2
		with_flags "$faster" part 150 trial "$bin/bench" trial --device "$device" --dataset $key --epochs $epochs --rounds 1 --side-limit 100s --save tables/trial "${size[@]}"
		;;
	sample)
		left=$((limit - SECONDS - 60))
		local number=50
		[ "$device" != cpu ] || number=3
		with_flags "$faster" part 600 sample "$bin/bench" sample --device "$device" --archs $number --datasets cifar10,ImageNet16-120 --side-limit 90s --within $((left > 1 ? left : 1))s \
			--state tables/sample.jsonl --peaks tables/peaks.json --save tables/sample "${size[@]}" "${turns[@]}"
		;;
	esac
}

main() {
	local failed=0 name site cuda='' size=() turns=(--steps 100 --rounds 3) # a single step is too short to time
	bin=$root/bin
	if [ -e "$bin/carry.tar.xz" ]; then
		mkdir "$work/bin"
		tar -C "$work/bin" -xJf "$bin/carry.tar.xz" || "$python" -m tarfile -e "$bin/carry.tar.xz" "$work/bin" || return
		bin=$work/bin
	fi
	if [ ! -x "$bin/bench" ] || [ ! -x "$bin/nb201" ]; then
		echo "gpu.sh: nb201 and bench are missing in $bin; make bin/carry.tar.xz with tools/carry.sh pack on a machine with Go"
		return 2
	fi
	site=$(site)
	NB201_JAX_PYTHON=$python
	if [ "$device" = cpu ]; then
		size=(--cells 1 --batch 32) turns=(--steps 1 --rounds 2)
		export JAX_PLATFORMS=cpu
	else
		for name in "$site"/jax_plugins/xla_cuda*/xla_cuda_plugin.so; do
			[ ! -e "$name" ] || export GOMLX_BACKEND=${GOMLX_BACKEND:-xla:$name}
		done
		cuda=$(toolchain "$site")
		if [ -n "$cuda" ]; then # for JAX only
			NB201_JAX_PYTHON=$work/jax-python
			# shellcheck disable=SC2016 # the variable is the script's
			printf '#!/bin/sh\nXLA_FLAGS="--xla_gpu_cuda_data_dir=%s $XLA_FLAGS" exec "%s" "$@"\n' "$cuda" "$python" >"$NB201_JAX_PYTHON"
			chmod +x "$NB201_JAX_PYTHON"
		fi
	fi
	export NB201_JAX_PYTHON
	cd "$work/pack" || return # so that the tables name files by their paths in the archive
	facts 2>&1 | tee parts/facts.txt
	echo "plugin: ${GOMLX_BACKEND:-installed}; python: $python; programs: $bin"
	part 30 doctor "$bin/nb201" doctor # fails if something is missing
	mkdir -p "$work"/autotune{,-fp32,-tf32,-bf16}
	if [ "$device" != cpu ] && [[ " ${parts[*]} " == *' step '* ]]; then
		warm >parts/warm.txt 2>&1 </dev/null &
	fi
	for name in "${parts[@]}"; do
		run_part "$name" || failed=1
	done
	printf '\n== summary, at %d s\n' "$SECONDS"
	cat summary.txt
	[ "$best" -eq 0 ] || echo "fastest: NB201_CUDA_FLAGS=\"$(flags "$faster")\""
	return $failed
}

exec > >(tee -a "$out/log.txt") 2>&1
logger=$!
main
code=$?
pack
exec >&- 2>&-
wait $logger
exit $code
