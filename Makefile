# `make demo` and `make test` need Go, make and a C compiler, and bring the rest
# themselves.

# The commit, which follows the release number (cmd/nb201/versions.go) in the version.
COMMIT := $(shell git describe --always --exclude='*' --abbrev=7 --dirty=.dirty 2>/dev/null)
NB201 := bin/nb201
# More flags for go test, e.g. TESTFLAGS='-run Golden -v'.
TESTFLAGS :=
SCRIPTS := $(wildcard .ci/run bench/run bench/*.sh tools/*.sh)

.PHONY: build setup demo test nightly check bench carry

build:
	go build -buildvcs=false -ldflags '-X main.commit=$(COMMIT)' -o $(NB201) ./cmd/nb201

# The XLA plugin, which training needs.
setup: build
	$(NB201) setup

demo: setup
	rm -rf demo
	$(NB201) train 0 --dataset digits --epochs 12 --seed 777 --out demo

test: setup
	go test -timeout 30m $(TESTFLAGS) ./...

# With what takes long: networks of full size in float64, data sets of full size, a campaign
# that is killed 50 times, a Slurm cluster that is killed piece by piece; and the scheduler
# before the race detector.
nightly: setup
	go test -race $(TESTFLAGS) ./scheduler/...
	NB201_NIGHTLY=all go test -timeout 5h $(TESTFLAGS) ./...

check:
	@echo 'gofmt, go vet, staticcheck, go mod tidy, import arrows'
	@unformatted=$$(gofmt -l $$(go list -f '{{.Dir}}' ./...)); \
		test -z "$$unformatted" || { echo "not formatted: $$unformatted"; exit 1; }
	@go vet ./...
	@go tool staticcheck ./...
	@go mod tidy -diff
	@go test ./internal/arrows
	@if command -v shellcheck >/dev/null; then echo shellcheck; shellcheck $(SCRIPTS); fi
	@if git rev-parse --git-dir >/dev/null 2>&1; then echo 'no secrets'; \
		! git grep --untracked -nIE -e '-----BEGIN [A-Z ]*PRIVATE KEY|AKIA[0-9A-Z]{16}|gh[opsu]_[A-Za-z0-9]{36}'; fi

# A training step beside the PyTorch original's.
bench: setup
	bench/run

# Programs and tests for a GPU machine without Go, and what Python needs there: see the script.
carry:
	COMMIT='$(COMMIT)' tools/carry.sh pack
