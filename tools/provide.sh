#!/usr/bin/env bash
# Installs what checks and tests need besides Go, unless it is installed:
#
#   tools/provide.sh packages   C and C++ compilers, the C compiler and an emulator for ARM64, make,
#                               curl, shellcheck, xz, Python, PyPy, Slurm, Chromium, npm, zsh, fish and
#                               man, with apt-get, as root or with sudo
#   tools/provide.sh python     a virtual environment in .venv with tools/requirements.txt and
#                               Pillow, for NB201_PYTHON
#   tools/provide.sh wheel      a virtual environment in .cache/wheel with tools/wheel/requirements.txt
#   tools/provide.sh lint       the same in .cache/lint with tools/lint/requirements.txt
#   tools/provide.sh nvcc       NVIDIA's compiler in .cache/nvcc with tools/nvcc/requirements.txt: 0.4 GB
#   tools/provide.sh axe        axe-core in .cache/axe, with npm, and prints its path, for NB201_AXE
#   tools/provide.sh compiler   the compiler for `nb201 kernels`: 175 MB, needs no GPU
#
# The make targets of these names call it, `lint`, `wheel` and `cuda-kernels` for what they need; `compiler` needs bin/nb201.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

usage() {
	sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}" >&2
	exit 2
}

# retry COMMAND... runs a command that may fail because of the network, up to five times.
retry() {
	local attempt
	for attempt in 1 2 3 4; do
		if "$@"; then
			return
		fi
		sleep $((attempt * 10))
	done
	"$@"
}

packages() {
	local missing=() admin=()
	command -v gcc >/dev/null || missing+=(gcc libc6-dev)
	command -v g++ >/dev/null || missing+=(g++)
	command -v make >/dev/null || missing+=(make)
	command -v curl >/dev/null || missing+=(curl)
	command -v shellcheck >/dev/null || missing+=(shellcheck)
	command -v xz >/dev/null || missing+=(xz-utils)
	python3 -c 'import ensurepip, lzma, venv' 2>/dev/null || missing+=(python3 python3-venv)
	command -v pypy3 >/dev/null || missing+=(pypy3 pypy3-venv)
	(PATH=$PATH:/usr/sbin && type sbatch slurmctld slurmd munged) >/dev/null 2>&1 ||
		missing+=(slurm-client slurmctld slurmd munge)
	command -v chromium chromium-browser google-chrome >/dev/null || missing+=(chromium) # and fonts
	command -v npm >/dev/null || missing+=(nodejs npm)
	command -v aarch64-linux-gnu-gcc >/dev/null || missing+=(gcc-aarch64-linux-gnu libc6-dev-arm64-cross)
	command -v qemu-aarch64-static >/dev/null || missing+=(qemu-user-static)
	command -v zsh >/dev/null || missing+=(zsh)
	command -v fish >/dev/null || missing+=(fish)
	(command -v man && command -v groff) >/dev/null || missing+=(man-db groff) # groff reports warnings
	if [ ${#missing[@]} -eq 0 ]; then
		echo 'nothing missing'
		return
	fi
	[ "$(id -u)" -eq 0 ] || admin=(sudo -n)
	echo "installing ${missing[*]}"
	retry "${admin[@]}" apt-get -qq update
	local policy=/usr/sbin/policy-rc.d made=
	if [ ! -e $policy ]; then # keep Slurm's services from starting
		made=yes
		printf '#!/bin/sh\nexit 101\n' | "${admin[@]}" tee $policy >/dev/null
		"${admin[@]}" chmod +x $policy
	fi
	retry "${admin[@]}" env DEBIAN_FRONTEND=noninteractive \
		apt-get -qq -y --no-install-recommends install "${missing[@]}" >/dev/null
	[ -z "$made" ] || "${admin[@]}" rm $policy
}

# environment DIR PACKAGE... installs packages into a virtual environment.
environment() {
	[ -x "$1/bin/pip" ] || python3 -m venv --clear "$1"
	retry "$1/bin/pip" --quiet --disable-pip-version-check install --no-deps --only-binary=:all: "${@:2}"
}

python() {
	environment .venv -r tools/requirements.txt pillow==13.0.0
}

wheel() { environment .cache/wheel -r tools/wheel/requirements.txt; }

lint() { environment .cache/lint -r tools/lint/requirements.txt; }

nvcc() { environment .cache/nvcc -r tools/nvcc/requirements.txt; }

axe() {
	mkdir -p .cache/axe
	cp tools/axe/package.json tools/axe/package-lock.json .cache/axe
	retry npm --prefix .cache/axe --silent --ignore-scripts --no-audit --no-fund ci
	realpath .cache/axe/node_modules/axe-core/axe.min.js
}

compiler() { retry bin/nb201 setup --device cuda13 --compiler; }

[ $# -eq 1 ] || usage
case $1 in
packages | python | wheel | lint | nvcc | axe | compiler) "$1" ;;
*) usage ;;
esac
