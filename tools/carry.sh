#!/usr/bin/env bash
# Packs what has to go with this tree to a machine that has a GPU, but neither Go nor a
# network, and checks that it works without Go.
#
#   tools/carry.sh pack              makes bin/carry.tar.xz, fetches bin/xautodl-1.0.0-*.whl
#   tools/carry.sh check [NAME...]   runs tests of the archive (by default network) on the
#                                    CPU, in a copy of the tree and without Go
#
# The archive has nb201, bench, tests/NAME.test for each package whose tests run on a GPU, and
# tests/packages.txt with lines "NAME FOLDER". A test binary finds its data when it runs in
# its folder of the tree:
#
#   tar -C /tmp/carried -xJf bin/carry.tar.xz
#   cd cell/network && NB201_TEST_DEVICE=cuda /tmp/carried/tests/network.test -test.v
#
# The wheel contains the original's network; Python imports from the wheel itself. The pip of
# $NB201_PYTHON, or of python3, fetches it unless it is already in bin. Archive, wheel and tree
# together must be smaller than 64 MiB.
#
# pack needs Go, a C compiler, git and xz (Debian: xz-utils). COMMIT follows the release number in nb201's version.
set -euo pipefail
shopt -s nullglob
cd "$(dirname "${BASH_SOURCE[0]}")/.."
packages=(cell/network train/device train e2e)

usage() {
	sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}" >&2
	exit 2
}

# tree lists the files that git tracks or does not ignore, each with a NUL behind it.
tree() {
	local file
	git ls-files -z --cached --others --exclude-standard | while IFS= read -r -d '' file; do
		if [ -f "$file" ]; then
			printf '%s\0' "$file"
		fi
	done
}

pack() {
	local package name wheels
	if ! command -v xz >/dev/null; then
		echo 'carry.sh: there is no xz: install it (Debian: xz-utils)' >&2
		exit 1
	fi
	mkdir -p bin "$work/tests"
	go build -trimpath -buildvcs=false -tags minimal -ldflags "-s -w -X main.commit=${COMMIT:-}" -o "$work/" ./cmd/nb201 ./bench
	for package in "${packages[@]}"; do
		name=${package##*/}
		go test -c -trimpath -buildvcs=false -ldflags '-s -w' -o "$work/tests/$name.test" "./$package"
		echo "$name $package" >>"$work/tests/packages.txt"
	done
	# The programs share most of their code, which only a window as large as -9's finds.
	XZ_OPT=-9 tar -C "$work" -cJf bin/carry.tar.xz nb201 bench tests
	wheels=(bin/xautodl-1.0.0-*.whl)
	if [ ${#wheels[@]} -eq 0 ]; then
		"${NB201_PYTHON:-python3}" -m pip --disable-pip-version-check download --quiet --no-deps -d bin xautodl==1.0.0 ||
			echo 'carry.sh: could not fetch xautodl: tables will have no PyTorch beside nb201, unless you put its wheel into bin' >&2
		wheels=(bin/xautodl-1.0.0-*.whl)
	fi
	{
		tree | xargs -0 stat -c %s | awk '{ bytes += $1 } END { print bytes, "tree" }'
		stat -c '%s %n' bin/carry.tar.xz "${wheels[@]}"
	} | awk '
		{ printf "%6.2f MiB  %s\n", $1 / 2^20, $2; bytes += $1 }
		END {
			printf "%6.2f MiB  together\n", bytes / 2^20
			if (bytes >= 64 * 2^20) {
				print "carry.sh: no more than 64 MiB can be carried" > "/dev/stderr"
				exit 1
			}
		}'
}

# check NAME... runs the tests without Go: nothing is on the PATH.
check() {
	local name folder variable environment=()
	mkdir "$work/tree" "$work/carried"
	tree | tar --null -T - -c | tar -C "$work/tree" -x
	tar -C "$work/carried" -xJf bin/carry.tar.xz
	# These determine where the plugin is, and what no test may lack.
	for variable in HOME NB201_HOME GOMLX_BACKEND XDG_DATA_HOME XDG_CACHE_HOME NB201_REQUIRE; do
		if [ -n "${!variable:-}" ]; then
			environment+=("$variable=${!variable}")
		fi
	done
	for name in "$@"; do
		folder=$(awk -v name="$name" '$1 == name { print $2 }' "$work/carried/tests/packages.txt")
		if [ -z "$folder" ]; then
			echo "carry.sh: the archive has no tests $name, but those of $(cut -d' ' -f1 "$work/carried/tests/packages.txt" | xargs)" >&2
			exit 2
		fi
		echo "$name.test in $folder"
		(cd "$work/tree/$folder" && env -i "${environment[@]}" PATH=/nowhere NB201_TEST_DEVICE=cpu "$work/carried/tests/$name.test")
	done
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
case ${1:-} in
pack)
	[ $# -eq 1 ] || usage
	pack
	;;
check)
	shift
	check "${@:-network}"
	;;
*) usage ;;
esac
