package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nb201/results"
	"nb201/results/resultstest"
)

// The errors that users meet most often name the command that solves them, with their own paths.
func TestErrorsNameTheNextCommand(t *testing.T) {
	emptyHome(t)
	c := resultstest.Fill(t, results.Trial{Arch: 4, Dataset: "digits", Epochs: 1, Seed: 1})
	trained, err := filepath.Abs(campaign)
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	t.Setenv("NB201_DATA", "images")
	t.Setenv("PATH", t.TempDir()) // without Slurm
	for dir, from := range map[string]string{"done": trained, "cut": c.Dir, "inside/cut": c.Dir} {
		if err := os.CopyFS(dir, os.DirFS(from)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile("cut/trials/000004/digits/0001-0001.json", []byte("{"), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, stderr, code := nb201("plan", "my plan", "--archs", "0", "--datasets", "digits", "--epochs", "1", "--seeds", "1"); code != 0 {
		t.Fatal(stderr)
	}
	const digits = "--dataset digits --epochs 1 --seed 1"
	for _, test := range []struct{ args, want string }{
		{"train 0 " + digits + " --out new", "no XLA plugin for device cpu; run `nb201 setup`"},
		{"latency 0", "run `nb201 setup`"},
		{"kernels 0", "run `nb201 setup --device cuda13 --compiler`"},
		{"verify done --reevaluate", "run `nb201 setup`"},
		{"run my_plan", "run `nb201 setup`"},
		{"train 0 --dataset cifar10 --epochs 1 --seed 1 --out new", "run `nb201 data get cifar10`"},
		{"train 0 --dataset cifar100 --epochs 1 --seed 1 --out new --data a/b", "run `nb201 data get cifar100 --data a/b`"},
		{"data check ImageNet16-120 --data it's", `run ` + "`nb201 data imagenet16 --from DIR --data 'it'\\''s'`"},
		{"train 4 --dataset digits --epochs 2 --seed 777 --channels 2 --cells 1 --workers 0 --out done", "show it with `nb201 query done 4 --dataset digits --schedule 2 --seed 777`"},
		{"run done", "create one with `nb201 plan done --archs LIST --datasets KEYS --epochs N --seeds SEEDS`"},
		{"plan none", "create one with `nb201 plan none --archs "},
		{"slurm none", "create one with `nb201 plan none --archs "},
		{"status none", "name the directory given to nb201 train --out or nb201 run"},
		{"verify inside", "name the benchmark, inside/cut"},
		{"verify my_plan", "train its plan with `nb201 run 'my plan'`"},
		{"query my_plan 0", "train its plan with `nb201 run 'my plan'`"},
		{"export my_plan --format csv --to t", "train its plan with `nb201 run 'my plan'`"},
		{"query cut 4", "nb201 run cut renames it"},
		{"export cut --format csv --to t", "nb201 run cut renames it"},
		{"plan my_plan --archs 1 --datasets digits --epochs 1 --seeds 1 --cells 2", "use --replace to replace it"},
		{"train 0 --epochs 3 --epoch 3", "unknown flag --epoch; did you mean --epochs? (see nb201 train --help)"},
		{"stat done", "did you mean status?"},
		{"version", "use nb201 --version"},
	} {
		args := strings.Fields(test.args)
		for i := range args {
			args[i] = strings.ReplaceAll(args[i], "my_plan", "my plan")
		}
		if _, stderr, code := nb201(args...); code == 0 || code > 2 || !strings.Contains(stderr, test.want) {
			t.Errorf("nb201 %s: code %d, stderr %q; want %q", test.args, code, stderr, test.want)
		}
	}
}

// On a terminal, a command names the one that most users run next.
func TestNextCommand(t *testing.T) {
	c := resultstest.Fill(t, results.Trial{Arch: 4, Dataset: "digits", Epochs: 1, Seed: 1})
	t.Chdir(t.TempDir())
	for _, test := range []struct{ args, want string }{
		{"plan it's --archs 0 --datasets digits --epochs 1 --seeds 1", `next: nb201 run 'it'\''s'` + "\n"},
		{"export " + c.Dir + " --format csv --to tables", "next: nb201 verify tables\n"},
	} {
		text, code := onTerminal(t, 60, strings.Fields(test.args)...)
		if code != 0 || !strings.HasSuffix(text, test.want) {
			t.Errorf("nb201 %s: code %d, %q; want %q at the end", test.args, code, text, test.want)
		}
	}
	stdout, stderr, code := nb201("plan", "it's")
	if code != 0 || stderr != "" || strings.Contains(stdout, "next:") {
		t.Errorf("without a terminal: code %d, stdout %q, stderr %q", code, stdout, stderr)
	}
	if text, _ := onTerminal(t, 60, "plan", "it's", "--json"); strings.Contains(text, "next:") {
		t.Errorf("with --json: %q", text)
	}
}
