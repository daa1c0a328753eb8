package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"nb201/internal/outlet"
	"nb201/internal/schematest"
)

// nb201 runs a command line and returns its output and exit code.
func nb201(args ...string) (stdout, stderr string, code int) {
	var out, errs bytes.Buffer
	code = run(args, &out, &errs)
	return out.String(), errs.String(), code
}

// TestWrongUsage checks that every wrong use ends in code 2, with one sentence on stderr that names the
// mistake, and leaves nothing on stdout or on disk.
func TestWrongUsage(t *testing.T) {
	done, err := filepath.Abs(campaign)
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	t.Setenv("CUDA_VISIBLE_DEVICES", "")
	if err := os.WriteFile("file", nil, 0o666); err != nil {
		t.Fatal(err)
	}
	tests := []struct{ args, want string }{
		{"nothing 0", `unknown command "nothing" for "nb201" (see nb201 --help)`},
		{"trian 0 --epochs 3", `unknown command "trian" for "nb201"; did you mean train? (see nb201 --help)`},
		{"init_weights", `; did you mean init-weights?`},
		{"version", `unknown command "version" for "nb201"; use nb201 --version`},
		{"help nothing", `unknown command "nothing" for "nb201" (see nb201 help --help)`},
		{"help init-weights x", `unknown command "x" for "nb201 init-weights"`},
		{"completion tcsh", `unknown shell "tcsh"; use bash, zsh, fish or powershell (see nb201 completion --help)`},
		{"--colour", "unknown flag --colour (see nb201 --help)"},

		{"arch", "takes one ARCH (an index, a genotype string or widths such as 64:64:64:64:64), got 0; write all of them with --all (see nb201 arch --help)"},
		{"arch 0 1", "takes one ARCH (an index, a genotype string or widths such as 64:64:64:64:64), got 2"},
		{"arch 15625", "15625 is out of range; use 0 to 15624"},
		{"arch 99999999999999999999", "out of range"},
		{"arch -1", "architecture index -1 is out of range; use an index from 0 (see nb201 arch --help)"},
		{"arch zero", `unknown architecture "zero"`},
		{"arch |none~0|+|none~0|none~1|+|none~0|none~1|conv~2|", `unknown operation "conv"`},
		{"arch 0 --cells x", `--cells "x": use a whole number (see nb201 arch --help)`},
		{"arch 0 --cells 0", "0 cells"},
		{"arch 0 --channels -1", "-1 channels"},
		{"arch 0 --dataset cifar11", `unknown dataset key "cifar11"`},
		{"arch 0 --dataset none.json", "none.json: no such file"},
		{"arch 0 --svg missing/a.svg", "cannot write missing/a.svg: the directory missing does not exist; create it"},
		{"arch 0 --svg file/a.svg", "cannot write file/a.svg: not a directory"},
		{"arch 0 --svg .", "cannot write .: "},
		{"arch 0 --csv a.csv", "--csv and --parquet write the table of all architectures; give --all instead of ARCH"},
		{"arch 0 --parquet a.parquet", "give --all instead of ARCH"},
		{"arch --csv a.csv", "got 0; write all of them with --all"},
		{"arch 0 --dataset=", "--dataset is empty; name dataset keys or definition files (*.json), or leave it out"},
		{"arch 0 --dataset cifar10,digits,cifar10", "--dataset names dataset key cifar10 twice; name each once"},
		{"arch --all", "--all needs --csv FILE, --parquet FILE or --json"},
		{"arch 0 --all --csv a.csv", "takes either one ARCH (an index, a genotype string or widths such as 64:64:64:64:64) or --all; give one of the two"},
		{"arch --all --svg a.svg --csv a.csv", "--all and --svg exclude each other; give only one of them"},
		{"arch --all --csv a.csv --parquet a.parquet", "--csv and --parquet exclude each other; give only one of them"},
		{"arch --all --csv a.csv --dataset cifar10,MNIST", `unknown dataset key "MNIST"`},
		{"arch --all --csv a.csv --cells 0", "0 cells"},
		{"arch --all --json --channels 4096 --cells 4096", "million parameters; use fewer"},
		{"arch --all --parquet missing/a.parquet", "cannot write missing/a.parquet: the directory missing does not exist; create it"},

		{"init-weights 0 --to a.pth", "missing --seed (see nb201 init-weights --help)"},
		{"init-weights 0 --seed 1", "missing --to"},
		{"init-weights 0 --seed -1 --to a.pth", `--seed "-1": use a whole number 0..4294967295`},
		{"init-weights 0 --seed 4294967296 --to a.pth", "use a whole number 0..4294967295"},
		{"init-weights 0 --seed 1.5 --to a.pth", "use a whole number 0..4294967295"},
		{"init-weights 15625 --seed 1 --to a.pth", "out of range"},
		{"init-weights 0 --seed 1 --parity 2020 --to a.pth", `unknown parity profile "2020"; use one of 2019, 1.7, modern`},
		{"init-weights 0 --seed 1 --dataset MNIST --to a.pth", `unknown dataset key "MNIST"`},
		{"init-weights 0 --seed 1 --channels 0 --to a.pth", "0 channels"},
		{"init-weights 0 --seed 1 --channels 4096 --cells 4096 --to a.pth", "million parameters; use fewer"},
		{"init-weights 0 --seed 1 --to missing/a.pth", "cannot write missing/a.pth: the directory missing does not exist; create it"},

		{"kernels", "takes one ARCH (an index, a genotype string or widths such as 64:64:64:64:64), got 0 (see nb201 kernels --help)"},
		{"kernels 15625", "15625 is out of range"},
		{"kernels 0 --gpu b200", `unknown GPU model "b200"; use one of a100, h100`},
		{"kernels 0 --batch 0", "--batch 0: use 1 to 65536"},
		{"kernels 0 --batch 99999999999", "use 1 to 65536"},
		{"kernels 0 --channels 0", "0 channels"},
		{"kernels 0 --flop 60e12", "give both or neither, each above 0"},
		{"kernels 0 --precision fp8", `unknown precision "fp8"`},
		{"kernels 0 --dataset MNIST", `unknown dataset key "MNIST"`},

		{"latency", "give one of the two"},
		{"latency 0 --archs 1", "give one of the two"},
		{"latency 0 1", "takes one ARCH (an index, a genotype string or widths such as 64:64:64:64:64), got 2; list several with --archs (see nb201 latency --help)"},
		{"latency 15625", "15625 is out of range"},
		{"latency --archs 5-4", "the range ends before it begins"},
		{"latency 0 --dataset MNIST", `unknown dataset key "MNIST"`},
		{"latency 0 --batch 0", "--batch 0, --repeat 10: use at least 1"},
		{"latency 0 --repeat -1", "use at least 1"},
		{"latency 0 --repeat 9223372036854775807", "use at most 65536 and 1000000"},
		{"latency 0 --channels 0", "0 channels"},
		{"latency 0 --device tpu", `unknown device "tpu"`},
		{"latency 0 --precision fp16", `unknown precision "fp16": use one of fp32, tf32, bf16, fp64`},
		{"latency 0 --precision tf32", "precision tf32 needs a GPU"},

		{"data none", `unknown command "none" for "nb201 data"`},
		{"data chekc", `unknown command "chekc" for "nb201 data"; did you mean check?`},
		{"data list none.json", "cannot read the dataset definition: open none.json"},
		{"data list none", `unknown dataset key "none"`},
		{"data get", "takes one KEY (a dataset key), got 0 (see nb201 data get --help)"},
		{"data get MNIST", `unknown dataset key "MNIST"`},
		{"data get digits", "digits is part of this program; there is nothing to download"},
		{"data get file.json", "file.json: no download is known for a dataset of your own"},
		{"data get cifar10 --format matlab", `unknown --format "matlab" for cifar10; use python or binary`},
		{"data get cifar100 --mirror host/path", "the mirror is not an http, https or file URL"},
		{"data imagenet16", "missing --from (see nb201 data imagenet16 --help)"},
		{"data imagenet16 --from missing --to made", "missing is not a directory"},
		{"data imagenet16 --from . --to made", ". contains neither train, a directory of an ImageNet folder, nor train_data_batch_1"},
		{"data imagenet16 --from . --to file/made", "cannot write file/made"},
		{"data check", "takes one dataset (a key or a definition file (*.json)), got 0"},
		{"data check none", `unknown dataset key "none"`},
		{"data check cifar10 --data none", "no data for cifar10: cifar-10-batches-py not found in none"},

		{"status", "takes one DIR (a campaign directory), got 0 (see nb201 status --help)"},
		{"status none", "none is not a campaign"},
		{"status file", "file is not a directory; name a campaign directory"},

		{"verify", "takes one PATH (a campaign, or a file or directory of a published format), got 0"},
		{"verify none", "none: no such file or directory; name a campaign or a published file"},
		{"verify file", "file"},
		{"verify CAMPAIGN --reevaluate --device tpu", `unknown device "tpu"`},
		{"verify CAMPAIGN --reevaluate --device cpu:1", `unknown device "cpu:1"`},

		{"compare CAMPAIGN", "takes two benchmarks, A and B, got 1"},
		{"compare CAMPAIGN none", "none"},
		{"compare file CAMPAIGN", "file"},
		{"compare CAMPAIGN CAMPAIGN --report missing/a/r.html", "cannot write missing/a/r.html"},

		{"export . --format archive --to a", ". is neither a campaign nor a benchmark in a published format"},
		{"export file --format archive --to a", "file is an empty file; download or copy it again"},
		{"export CAMPAIGN --format archive", "missing --to"},
		{"export CAMPAIGN --format zip --to a --less 2", `unknown format "zip"; use one of runs, archive, nasbench201, nats, naslib, parquet, csv`},
		{"export CAMPAIGN --format archive --to a --less 2 --full 2", "--less 2 and --full 2 are equal; give two different schedules"},
		{"export CAMPAIGN --format archive --to a --less 200", "--less 200 and --full 200 (its default) are equal"},
		{"export CAMPAIGN --format archive --to a --full -1", "--less 12 (its default) and --full -1: use numbers of epochs, at least 1"},
		{"export CAMPAIGN --format archive --to missing/a --less 2", "missing"},
		{"export CAMPAIGN --format nasbench201 --to file --less 2", "file already exists"},

		{"plan", "takes one DIR (a campaign directory), got 0"},
		{"plan none", "campaign none has no plan (open none/plan.json: no such file or directory); create one with `nb201 plan none --archs LIST --datasets KEYS --epochs N --seeds SEEDS`"},
		{"plan file --preset sample", "not a directory"},
		{"plan CAMPAIGN/trials --preset sample", "/trials is part of the campaign " + done + "; name that directory"},
		{"plan new --archs 0", "add --datasets or --preset"},
		{"plan new --archs 15625 --datasets digits --epochs 12 --seeds 1", "15625 is out of range"},
		{"plan new --archs none --datasets digits --epochs 12 --seeds 1", `not an index, a range FIRST-LAST, the string of an architecture, "unique" or a readable file`},
		{"plan new --archs 0 --datasets MNIST --epochs 12 --seeds 1", `unknown dataset key "MNIST"`},
		{"plan new --archs 0 --datasets digits --epochs x --seeds 1", `--epochs "x": use whole numbers, separated by commas`},
		{"plan new --archs 0 --datasets digits --epochs 0 --seeds 1", "a schedule of 0 epochs"},
		{"plan new --archs 0 --datasets digits --epochs 12 --seeds 4294967296", "use a whole number 0..4294967295"},
		{"plan new --archs 0 --datasets digits --epochs 12 --seeds 1,", "use a whole number 0..4294967295"},
		{"plan new --preset all", `unknown preset "all"; use one of nas-bench-201-v1_1, nats-sss-v1_0, sample`},
		{"plan new --preset sample --epochs 12", "already fixes epochs and seeds"},
		{"plan new --preset sample --archs 4", "preset sample contains none of the architectures of --archs"},
		{"plan new --preset nas-bench-201-v1_1 --datasets digits", `has no dataset "digits"`},
		{"plan new --preset sample --precision fp16", `unknown precision "fp16": use one of fp32, tf32, bf16, fp64`},
		{"plan new --preset sample --weights burn", `--weights "burn": use keep or drop`},
		{"plan new --preset sample --rate -1", "--rate -1: use a number of images per second above 0"},
		{"plan new --preset sample --rate NaN", "above 0"},
		{"plan new --preset sample --rate 1 --like CAMPAIGN", "--like and --rate exclude each other; give only one of them"},
		{"plan new --preset sample --devices 0", "--devices 0, --per-device 1: use at least 1"},
		{"plan new --preset sample --like none", "cannot measure a rate on none"},
		{"plan new --replace", `new has no plan`},
		{"plan new --archs 0 --datasets digits --epochs 9223372036854775807 --seeds 1", "a schedule of 9223372036854775807 epochs: use at most 100000"},
		{"plan new --archs 0 --datasets digits --epochs 12,100001 --seeds 1", "a schedule of 100001 epochs: use at most 100000"},
		{"plan new --archs 0 --datasets digits --epochs 12 --seeds 1 --batch 9223372036854775807", "a batch of 9223372036854775807 images is larger than the data"},
		{"plan new --archs 0 --datasets digits --epochs 12 --seeds 1 --workers 9223372036854775807", "9223372036854775807 loader workers: use at most 4096"},
		{"plan new --archs 0 --datasets digits --epochs 12 --seeds 1 --channels 9223372036854775807", "may each be at most 4096"},
		{"plan new --archs 0 --datasets digits --epochs 12 --seeds 1 --cells 4097", "may each be at most 4096"},
		{"plan new --archs 0 --datasets digits --epochs 12 --seeds 1 --channels 4096 --cells 4096", "million parameters; use fewer channels or cells, for at most 5000 million"},
		{"plan new --archs 0 --datasets digits --epochs 12 --seeds 1 --devices 9223372036854775807",
			"--devices 9223372036854775807, --per-device 1: use at most 1000000"},

		{"run", "takes one DIR (a campaign directory), got 0 (see nb201 run --help)"},
		{"run none", "none has no plan"},
		{"run CAMPAIGN/weights", "/weights is part of the campaign " + done},
		{"run CAMPAIGN --devices tpu", `--devices tpu: unknown device "tpu"`},
		{"run CAMPAIGN --devices cuda:0,1,1", "--devices cuda:0,1,1: cuda:1 is listed twice"},
		{"run CAMPAIGN --chunk 0/4", `--chunk "0/4": use I/N with I from 1 to N`},
		{"run CAMPAIGN --chunk 5/4", `--chunk "5/4": use I/N`},
		{"run CAMPAIGN --min-free-disk lots", `--min-free-disk "lots": use a size such as 500MB or 2GiB`},
		{"run CAMPAIGN --per-device 0", "--per-device 0: use at least 1"},
		{"run CAMPAIGN --max-attempts 0", "--max-attempts 0: use at least 1"},
		{"run CAMPAIGN --hang-after -10m", "--hang-after -10m0s: use a time above 0, such as 10m"},
		{"run CAMPAIGN --prepare-within 0", "--prepare-within 0s: use a time above 0, such as 1h"},

		{"run CAMPAIGN --devices visible", "CUDA_VISIBLE_DEVICES= gives this process no GPU; request one from the batch system"},

		{"slurm", "takes one DIR (a campaign directory, before --), got 0 (see nb201 slurm --help)"},
		{"slurm a b", "got 2"},
		{"slurm -- --per-device 2", "got 0"},
		{"slurm none", "none has no plan"},
		{"train 0 --dataset digits --epochs 9223372036854775807 --seed 1 --out a", "use at most 100000"},
		{"train 0 --dataset digits --epochs 1 --seed 1 --out CAMPAIGN/trials/new", "/trials/new is part of the campaign " + done},
		{"train 0 --dataset digits --epochs 1 --seed 1 --workers 4097 --out a", "4097 loader workers: use at most 4096"},

		{"query CAMPAIGN", "takes a PATH and an ARCH (an index, a genotype string or widths such as 64:64:64:64:64), got 1 argument (see nb201 query --help)"},
		{"query CAMPAIGN 4 5", "got 3 arguments"},
		{"query missing 4", "missing"},
		{"query CAMPAIGN 4 --schedule=", `--schedule "": name a schedule, such as 12`},
		{"query CAMPAIGN 4 --epochs=", `--epochs "": name a schedule, such as 12`},
		{"query CAMPAIGN 4 --schedule 12 --epochs=", `--schedule "12" and --epochs "", its old name, differ`},
		{"query CAMPAIGN --best --dataset digits --set ori-test --max-flops 0", `--max-flops "0": use a number above 0`},
		{"query CAMPAIGN --best --dataset digits --set ori-test --max-flops NaN", `--max-flops "NaN": use a number above 0`},
		{"query CAMPAIGN --best --dataset digits --set ori-test --max-params -1", `--max-params "-1": use a number above 0`},
		{"query file 4", "file"},
		{"query CAMPAIGN 15625", "out of range"},
		{"query CAMPAIGN 5", "does not hold architecture 5; it holds architecture 4 alone"},
		{"query CAMPAIGN 4 --seed -1", "use a whole number 0..4294967295"},
		{"query CAMPAIGN 4 --epoch 2", "has no accuracy of train after epoch 2 (counted from 0); it has epochs: 0 to 1"},

		{"data import", "takes one SOURCE (a directory or a file of images), got 0"},
		{"data import . --name mine", "missing --to"},
		{"data import . --to sets", "missing --name"},
		{"data import none --name mine --to sets", "none does not exist; name a directory or a file of images"},
		{"data import . --name mine --to sets --size 17", "--size 17: use a multiple of 4 from 4 to 1024"},
		{"data import . --name cifar10 --to sets", "cifar10 is a published dataset key; choose another name"},
		{"data import . --name mine --to sets --test 0.1", "contains no class directories"},
		{"data import . --name mine --to sets", "has no test set; draw one from the images of each class with --test FRACTION"},
		{"data import . --name mine --to sets --test 2", "cannot use 2 of the images for the test set; use a fraction between 0 and 1"},
		{"data import . --name mine --to sets --label middle", "use first or last"},
		{"data import . --name mine --to sets --seed -1", "use a whole number 0..4294967295"},
		{"data import file --name mine --to sets", "file cannot be imported; name a directory of class directories"},
	}
	for _, test := range tests {
		stdout, stderr, code := nb201(strings.Fields(strings.ReplaceAll(test.args, "CAMPAIGN", done))...)
		if code != 2 || stdout != "" || !strings.Contains(stderr, test.want) ||
			!strings.HasPrefix(stderr, "nb201: ") || strings.Count(stderr, "\n") != 1 {
			t.Errorf("nb201 %s: code %d, stdout %q, stderr %q; want 2 and %q", test.args, code, stdout, stderr, test.want)
		}
	}
	left, err := filepath.Glob("*")
	if hidden, _ := filepath.Glob(".*"); err != nil || len(left) != 1 || len(hidden) != 0 {
		t.Errorf("files left: %q %q (%v)", left, hidden, err)
	}
}

// TestHelp prints the help of every command: it names the exit codes, and no line is wider than a page.
func TestHelp(t *testing.T) {
	lines := [][]string{{"--help"}, {}, {"data"}}
	for _, c := range newRootCommand().Commands() {
		lines = append(lines, []string{c.Name(), "--help"})
		for _, below := range c.Commands() {
			lines = append(lines, []string{c.Name(), below.Name(), "--help"})
		}
	}
	for _, args := range lines {
		stdout, stderr, code := nb201(args...)
		if code != 0 || stderr != "" || !strings.Contains(stdout, "Exit codes:") {
			t.Errorf("nb201 %s: code %d, stderr %q, stdout:\n%s", args, code, stderr, stdout)
		}
		for line := range strings.Lines(stdout) {
			if !strings.HasPrefix(line, "  nb201 ") && utf8.RuneCountInString(line) > 101 { // examples may be longer
				t.Errorf("nb201 %s: %d characters: %s", args, utf8.RuneCountInString(line), line)
			}
		}
	}
}

func TestFailure(t *testing.T) {
	for _, test := range []struct {
		err    error
		code   int
		stderr string
	}{
		{nil, 0, ""},
		{errors.New("no luck"), 1, "nb201: no luck\n"},
		{errors.Join(errors.New("one"), errors.New("two")), 1, "nb201: one; two\n"},
		{context.Canceled, 1, "nb201: context canceled\n"}, // not by a signal
		{fmt.Errorf("run: %w", trialsFailed("2 of 3 trials failed")), 3, "nb201: run: 2 of 3 trials failed\n"},
	} {
		var errs bytes.Buffer
		root := rootWith(&cobra.Command{Use: "fail", RunE: func(*cobra.Command, []string) error { return test.err }})
		code := execute(t.Context(), root, []string{"fail"}, nil, &errs)
		if code != test.code || errs.String() != test.stderr {
			t.Errorf("%v: code %d, stderr %q", test.err, code, &errs)
		}
	}
}

func rootWith(c *cobra.Command) *cobra.Command {
	root := newRootCommand()
	root.AddCommand(c)
	return root
}

// stubborn is an environment variable that turns the test binary into a command that waits for a
// signal. With the value "twice" only the second signal stops it; with "pipe" it writes to stdout and
// ends.
const stubborn = "NB201_TEST_STUBBORN"

func TestMain(m *testing.M) {
	checked := schematest.Watch()
	how := os.Getenv(stubborn)
	if len(os.Args) > 1 && !strings.HasPrefix(os.Args[1], "-") { // a process that a command starts
		os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
	}
	if how == "" {
		os.Exit(checked(m.Run()))
	}
	ctx, release := untilSignal(context.Background())
	root := rootWith(&cobra.Command{Use: "wait", RunE: func(c *cobra.Command, _ []string) error {
		if how == "pipe" {
			outlivePipes()
			_, err := fmt.Println("too late")
			return err
		}
		fmt.Println("waiting")
		<-c.Context().Done()
		if how == "twice" {
			fmt.Println("not yet")
			time.Sleep(time.Minute)
		}
		return fmt.Errorf("wait: %w", c.Context().Err())
	}})
	code := execute(ctx, root, []string{"wait"}, os.Stdout, os.Stderr)
	release()
	os.Exit(code)
}

func TestSignals(t *testing.T) {
	for _, test := range []struct {
		signal syscall.Signal
		how    string
		code   int // as in a shell's $?
		stderr string
	}{
		{syscall.SIGINT, "once", 130, "nb201: stopped (interrupt)\n"},
		{syscall.SIGTERM, "once", 143, "nb201: stopped (terminated)\n"},
		{syscall.SIGUSR1, "once", 138, "nb201: stopped (user defined signal 1)\n"},
		{syscall.SIGHUP, "once", 129, "nb201: stopped (hangup)\n"},
		{syscall.SIGINT, "twice", 130, ""},
		{syscall.SIGTERM, "twice", 143, ""},
	} {
		t.Run(fmt.Sprint(test.signal, " ", test.how), func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(t.Context(), os.Args[0])
			cmd.Env = append(os.Environ(), stubborn+"="+test.how)
			var errs bytes.Buffer
			cmd.Stderr = &errs
			stdout, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			// Send a signal for each line that it prints.
			line := make([]byte, 64)
			for {
				if n, err := stdout.Read(line); n == 0 || err != nil {
					break
				}
				if err := cmd.Process.Signal(test.signal); err != nil {
					t.Fatal(err)
				}
			}
			_ = cmd.Wait() // see the status
			status := cmd.ProcessState.Sys().(syscall.WaitStatus)
			code := status.ExitStatus()
			if status.Signaled() {
				code = 128 + int(status.Signal())
			}
			if code != test.code || errs.String() != test.stderr || status.Signaled() != (test.how == "twice") {
				t.Errorf("ended with %v (code %d), stderr %q", cmd.ProcessState, code, &errs)
			}
		})
	}
}

// A closing terminal sends SIGHUP, and so does its shell: the two stop a command only once, and under
// nohup not at all.
func TestHangup(t *testing.T) {
	for _, test := range []struct {
		before string // shell
		how    string
		stdout string
	}{
		{"", "twice", "waiting\nnot yet\n"},
		{"trap '' HUP;", "once", "waiting\n"},
	} {
		t.Run(test.how, func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(t.Context(), "sh", "-c", test.before+`exec "$0"`, os.Args[0])
			cmd.Env = append(os.Environ(), stubborn+"="+test.how)
			stdout, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			var got strings.Builder
			lines := bufio.NewScanner(stdout)
			for range strings.Count(test.stdout, "\n") {
				if !lines.Scan() {
					t.Fatalf("it ended after %q", got.String())
				}
				fmt.Fprintln(&got, lines.Text())
				if err := cmd.Process.Signal(syscall.SIGHUP); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(200 * time.Millisecond)
			if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			_ = cmd.Wait() // see the status
			status := cmd.ProcessState.Sys().(syscall.WaitStatus)
			if end := status.Signal(); test.how == "twice" && end != syscall.SIGTERM || test.how == "once" && status.ExitStatus() != 143 || got.String() != test.stdout {
				t.Errorf("ended with %v after %q", cmd.ProcessState, got.String())
			}
		})
	}
}

// A command that called outlivePipes outlives a pipe that nobody reads.
func TestClosedPipe(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), stubborn+"=pipe")
	var errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = w, &errs
	_ = cmd.Run() // see the status
	w.Close()
	if code := cmd.ProcessState.ExitCode(); code != 1 || !strings.Contains(errs.String(), "broken pipe") {
		t.Errorf("ended with %v, stderr %q", cmd.ProcessState, &errs)
	}
}

// A signal ends the wait for an output that accepts nothing.
func TestOutputThatTakesNothing(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	ctx, cancel := context.WithCancel(t.Context())
	o := &output{ctx: ctx, file: w}
	if n, err := o.Write([]byte("taken")); n != 5 || err != nil {
		t.Errorf("%d bytes, %v", n, err)
	}
	time.AfterFunc(100*time.Millisecond, cancel)
	began := time.Now()
	large := make([]byte, 1<<20) // more than fits into a pipe
	for range 3 {
		if _, err := o.Write(large); !errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
	}
	if waited := time.Since(began); waited > 2*outlet.LastWords {
		t.Errorf("waited %v", waited)
	}
}
