# `make demo` and `make test` need Go, make and a C compiler, and install everything else
# themselves. docs/developing.md describes the targets.

# The commit, which follows the release number (cmd/nb201/versions.go) in the version.
COMMIT := $(shell git --git-dir=.git describe --always --exclude='*' --abbrev=7 --dirty=.dirty 2>/dev/null)
NB201 := bin/nb201
# More flags for go test, such as TESTFLAGS='-run Golden -v'.
TESTFLAGS :=
# The processor that wheel builds for: x86_64 or aarch64.
ARCH := x86_64
SCRIPTS := $(wildcard .ci/run bench/run bench/*.sh tools/*.sh)

# Where install puts the program, its manual and the completions. DESTDIR goes before it, for packages.
PREFIX := /usr/local
SHARE := $(DESTDIR)$(PREFIX)/share
# Debian's zsh reads the one below /usr, and the other below /usr/local.
ZSH := $(SHARE)/zsh/$(if $(filter /usr,$(PREFIX)),vendor-completions,site-functions)

.PHONY: build install setup packages python axe compiler demo test long nightly photographs clients \
	slurm-failures full-size arm64 gpu-kernels cuda-kernels check lint bench pictures carry carried wheel

# gonum/plot reads the tag minimal: it leaves out the PDF, EPS and TeX back ends (1 MB).
build:
	go build -buildvcs=false -tags minimal -ldflags '-X main.commit=$(COMMIT)' -o $(NB201) ./cmd/nb201

# Installs the program, its manual pages, and the completions where Debian's shells look for them.
install: build
	install -D -m 755 $(NB201) $(DESTDIR)$(PREFIX)/bin/nb201
	$(NB201) man --to $(SHARE)/man/man1
	install -d $(SHARE)/bash-completion/completions $(ZSH) $(SHARE)/fish/vendor_completions.d
	$(NB201) completion bash >$(SHARE)/bash-completion/completions/nb201
	$(NB201) completion zsh >$(ZSH)/_nb201
	$(NB201) completion fish >$(SHARE)/fish/vendor_completions.d/nb201.fish

# Builds the wheel for pip in dist; see the script.
wheel:
	tools/provide.sh wheel
	COMMIT='$(COMMIT)' .cache/wheel/bin/python tools/wheel.py $(ARCH)

# Installs the XLA plugin, which training needs.
setup: build
	$(NB201) setup

# Install what some checks and tests need; see the script.
packages python axe:
	tools/provide.sh $@
compiler: build
	tools/provide.sh $@

# Compiles the kernels for GPUs, which the repository has compiled too; see the script.
cuda-kernels:
	tools/provide.sh nvcc
	python3 tools/cuda_kernels.py

demo: setup
	rm -rf demo
	$(NB201) train 0 --dataset digits --epochs 12 --seed 777 --out demo

# go test without what check does too, and without debugging information. Three packages at a time leave no
# core idle where a test waits.
GOTEST := go test -vet=off -ldflags '-s -w' -p 3

# The packages whose tests take longest are first, so that none of them is left for the end.
test: setup
	$(GOTEST) -short -timeout 30m $(TESTFLAGS) ./train ./e2e ./cmd/nb201 ./python ./...

# The tests that test leaves out or shortens, since they take many seconds: those that call needs.Long or
# needs.IsLong.
LONGER := TestCheckWeights TestClientAnswersTheRecords TestClientsOnForeignKey \
	TestCompletionOfManyArchitectures TestConformanceFullSize TestControls TestDocs TestEvaluateTrials \
	TestEvaluateTrialsOfPhotographs TestEvaluationsReadBack TestExportedFiles TestGoldenPhotographs \
	TestGoldenTrajectoryBFloat16 TestGoldenTrajectoryFloat32 TestGoldenTrajectoryFloat64 \
	TestHostileReport TestIdle TestKeptPrograms TestKernels TestLatency TestLiveLooks \
	TestMergedCacheDamaged TestOwnKey TestPictures TestPlantedInFilesOfSizes TestPublishedCounts \
	TestPublishedFiles TestPythonLong TestRecipeKilled TestReportInBrowser TestResumed TestSameNetwork \
	TestServeClients TestServeInBrowser TestSizeClients TestSizeFiles TestSizesInBrowser TestSizesKilled \
	TestSlurm TestStreams TestTerminalWidths TestVersionOfBuilds TestWeightsInOriginal TestWheel \
	TestWheelBits TestWholeBenchmark
LONGERIN := ./bench ./cmd/nb201 ./data ./data/imagenet ./e2e ./internal/cudakernels ./python ./results/benchmark ./results/export ./results/published ./results/report ./results/verify ./scheduler/plan ./train
long: SPACE := $(subst ,, )
long: setup
	NB201_REQUIRE='$(NB201_REQUIRE),long' $(GOTEST) -timeout 30m -count=1 -run '^($(subst $(SPACE),|,$(LONGER)))$$' $(TESTFLAGS) $(LONGERIN)

# Runs the tests of the scheduler and of the Python library with the race detector, and then all tests including the slow
# ones: networks of full size in float64, datasets of full size, a campaign that is killed 50
# times, a Slurm cluster whose daemons are killed one by one.
nightly: setup
	go test -race $(TESTFLAGS) ./scheduler/... ./python/bridge
	NB201_NIGHTLY=all go test -timeout 5h $(TESTFLAGS) ./...

# The slow tests that CI runs, one target each. A target fails without what it NEEDS, which are
# names for NB201_REQUIRE.
LONG = NB201_NIGHTLY=$${NB201_NIGHTLY:-1} NB201_REQUIRE='$(NB201_REQUIRE),nightly,plugin,$(NEEDS)' \
	go test -timeout 30m -count=1 -v $(TESTFLAGS)

# Compares a whole learning curve on photographs with the original's.
photographs: NEEDS = photos
photographs: setup
	$(LONG) -run TestGoldenPhotographsWhole ./train

# Asks the Python clients about three trained architectures.
clients: NEEDS = python,clients
clients: setup
	$(LONG) -run TestClientsWhole ./e2e

# Kills the daemons of a Slurm cluster one by one.
slurm-failures: NEEDS = slurm
slurm-failures: setup
	$(LONG) -run TestSlurmFailures ./e2e

# Trains an epoch on datasets with as many images as the published ones.
full-size: setup
	$(LONG) -run TestFullSize ./e2e

# Checks what a GPU would run, without one.
gpu-kernels: NEEDS = compiler
gpu-kernels: setup compiler
	$(LONG) -run TestKernels ./train/device

# Runs the tests of the CPU's kernels on ARM64: compiled by Debian's cross compiler, on an emulator.
arm64: export NB201_EMULATOR := qemu-aarch64-static -L /usr/aarch64-linux-gnu
arm64:
	GOARCH=arm64 CGO_ENABLED=1 CC=aarch64-linux-gnu-gcc go test -count=1 -exec '$(NB201_EMULATOR)' $(TESTFLAGS) ./internal/kernels

check: lint
	@echo 'go mod tidy, import arrows, skips, banned phrases, links'
	@go mod tidy -diff
	@go test ./internal/arrows ./internal/needs ./internal/prose
	@if git rev-parse --git-dir >/dev/null 2>&1; then echo 'no secrets'; \
		! git grep --untracked -nIE -e '-----BEGIN [A-Z ]*PRIVATE KEY|AKIA[0-9A-Z]{16}|gh[opsu]_[A-Za-z0-9]{36}'; fi

# golangci-lint and actionlint are pinned in separate go.mod files.
lint:
	@echo 'gofmt, go vet, staticcheck, golangci-lint'
	@unformatted=$$(gofmt -l $$(go list -f '{{.Dir}}' ./...)); \
		test -z "$$unformatted" || { echo "not formatted: $$unformatted"; exit 1; }
	@go vet ./...
	@go tool staticcheck ./...
	@go tool -modfile=tools/golangci-lint/go.mod golangci-lint run --allow-parallel-runners ./...
	@echo actionlint; go tool -modfile=tools/actionlint/go.mod actionlint .github/workflows/*.yml
	@echo 'mypy, ruff'; tools/provide.sh lint
	@.cache/lint/bin/mypy --strict --python-version 3.9 --ignore-missing-imports --cache-dir .cache/lint/mypy \
		--no-error-summary python/nb201 tools/wheel.py tools/cuda_kernels.py
	@.cache/lint/bin/ruff check --isolated --no-cache --quiet --target-version py39 --select E,F,W,B --ignore B023 \
		--line-length 180 python tools/wheel.py tools/cuda_kernels.py
	@if command -v shellcheck >/dev/null; then echo shellcheck; shellcheck $(SCRIPTS); fi

# A training step beside the PyTorch original's.
bench: setup
	bench/run

# The pictures of README.md and docs; see the script.
pictures: setup
	tools/pictures.sh

# Programs and tests for a GPU machine without Go, and what Python needs there: see the script.
carry:
	COMMIT='$(COMMIT)' tools/carry.sh pack

# The tests of the archive that carry makes, without Go.
carried: setup
	tools/carry.sh check
