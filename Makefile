# `make demo` and `make test` need Go, make and a C compiler, and install everything else
# themselves.

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
NB201 := bin/nb201
# More flags for go test, such as TESTFLAGS='-run Golden -v'.
TESTFLAGS :=
SCRIPTS := $(wildcard .ci/run bench/run bench/*.sh tools/*.sh)

.PHONY: build setup demo test nightly check bench carry

build:
	go build -buildvcs=false -ldflags '-X main.version=$(VERSION)' -o $(NB201) ./cmd/nb201

# Installs the XLA plugin, which training needs.
setup: build
	$(NB201) setup

demo: setup
	rm -rf demo
	$(NB201) train 0 --dataset digits --epochs 12 --seed 777 --out demo

test: setup
	go test -timeout 30m $(TESTFLAGS) ./...

# Runs the scheduler's tests with the race detector, and then all tests including the slow
# ones: networks of full size in float64, datasets of full size, a campaign that is killed 50
# times, a Slurm cluster whose daemons are killed one by one.
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

# Measures a training step, compared with the PyTorch original.
bench: setup
	bench/run

# Packs programs and tests for a GPU machine without Go, and a wheel for its Python: see the
# script.
carry:
	VERSION='$(VERSION)' tools/carry.sh pack
