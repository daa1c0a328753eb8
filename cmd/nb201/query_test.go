package main

import (
	"encoding/json"
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// asked is the campaign in the examples of package benchmark, with architectures 1, 3 and 123.
const asked = "../../results/benchmark/testdata/campaign"

func TestQuery(t *testing.T) {
	head := `architecture 1  |nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_3x3~1|skip_connect~2|
` + asked + ` (campaign)

`
	for _, test := range []struct{ args, want string }{
		{"1", head + `  schedule         dataset  seed  epoch  train %  ori-test %  x-valid %  x-test %  training s   MFLOPs   Mparams  latency ms
        12   cifar10-valid   111     11    84.63       84.70      84.57         -       126.2  0.50185  0.003684       12.75
        12   cifar10-valid   777     11    84.78       84.97      85.08         -       124.7  0.50185  0.003684       12.75
        12   cifar10-valid  mean     11    84.70       84.84      84.82         -       125.5  0.50185  0.003684       12.75
        12         cifar10   111     11    84.63       84.70          -         -       126.2  0.50185  0.003684       12.75
        12        cifar100   111     11    84.63       84.49      84.56     84.42       126.2  0.50266  0.004494       12.75
        12  ImageNet16-120   111     11    84.63       84.50      84.57     84.43       126.2  0.12652  0.004674       12.75
`},
		{"1 --schedule 12 --set valid --epoch 5", head + `  schedule         dataset  seed  epoch  x-valid loss  top-1 %  top-5 %     s  s so far
        12   cifar10-valid   111      5        0.4510    78.40    83.40  10.3      61.7
        12   cifar10-valid   777      5        0.4280    78.99    83.99  10.9      63.6
        12   cifar10-valid  mean      5        0.4395    78.69    83.69  10.6      62.7
        12        cifar100   111      5        0.4510    78.40    83.40  10.3      61.7
        12  ImageNet16-120   111      5        0.4510    78.40    83.40  10.3      61.7
`},
		{"1 --dataset cifar10 --seed 111 --set ori-test --epoch 11", head + `  schedule  dataset  seed  epoch  ori-test loss  top-1 %  top-5 %     s  s so far
        12  cifar10   111     11         0.2830    84.70    89.70  10.5     125.8
`},
	} {
		stdout, stderr, code := nb201(append([]string{"query", asked}, strings.Fields(test.args)...)...)
		if code != 0 || stderr != "" || stdout != test.want {
			t.Errorf("nb201 query %s: code %d, stderr %q, stdout\n%s\nwant\n%s", test.args, code, stderr, stdout, test.want)
		}
	}
}

// The schedule's old flag, --epochs, still selects it. Two different schedules are refused.
func TestQueryOldFlag(t *testing.T) {
	want, _, _ := nb201("query", asked, "1", "--schedule", "12")
	for args, code := range map[string]int{"--epochs 12": 0, "--epochs 12 --schedule 12": 0, "--epochs 200": 2, "--epochs 200 --schedule 12": 2} {
		stdout, stderr, got := nb201(append([]string{"query", asked, "1"}, strings.Fields(args)...)...)
		if got != code || code == 0 && stdout != want {
			t.Errorf("nb201 query %s: code %d, stdout %q, stderr %q", args, got, stdout, stderr)
		}
	}
	_, stderr, _ := nb201("query", asked, "--best", "--dataset", "cifar10", "--set", "test", "--epochs", "200")
	if !strings.Contains(stderr, `has no schedule "200"`) {
		t.Errorf("--best: %s", stderr)
	}
	_, stderr, _ = nb201("query", asked, "1", "--epochs", "200", "--schedule", "12")
	if stderr != "nb201: --schedule \"12\" and --epochs \"200\", its old name, differ; give only --schedule\n" {
		t.Errorf("stderr %q", stderr)
	}
	if help, _, _ := nb201("query", "--help"); strings.Contains(help, "--epochs") {
		t.Errorf("the help shows --epochs:\n%s", help)
	}
}

// TestQueryCurve checks that a single trial is shown with its curve, on the set asked for.
func TestQueryCurve(t *testing.T) {
	stdout, stderr, code := nb201("query", asked, "1", "--dataset", "cifar10-valid", "--seed", "777", "--set", "x-valid")
	for _, want := range []string{
		"\n  epoch  x-valid loss  top-1 %  top-5 %     s\n",
		"\n     11        0.1960    85.08    90.08  10.9\n",
		"x-valid: top-1 accuracy, %, by epoch\n",
	} {
		if code != 0 || stderr != "" || !strings.Contains(stdout, want) {
			t.Errorf("code %d, stderr %q: %q is not in\n%s", code, stderr, want, stdout)
		}
	}
}

func TestQueryJSON(t *testing.T) {
	stdout, stderr, code := nb201("query", asked, "1", "--dataset", "cifar10", "--set", "ori-test", "--epoch", "0", "--json")
	want := `{"path":"` + asked + `","format":"campaign","architecture":1,` +
		`"genotype":"|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_3x3~1|skip_connect~2|",` +
		`"trials":[{"schedule":"12","dataset":"cifar10","seed":111,"epochs":12,"flops_millions":0.50185,"params_millions":0.003684,` +
		`"latency_seconds_per_batch_of_256":0.012750000000000001,` +
		`"measured":[{"set":"ori-test","epoch":0,"loss":2.375,"top1_percent":20.73,"top5_percent":25.73,` +
		`"seconds":10.653,"seconds_per_epoch":10.653,"seconds_all_epochs":10.653}]}]}`
	if got := compact(t, stdout); code != 0 || stderr != "" || got != want {
		t.Errorf("code %d, stderr %q, got\n%s\nwant\n%s", code, stderr, got, want)
	}

	// A single trial has its curve. What was not measured is left out.
	stdout, _, code = nb201("query", campaign, "4", "--json")
	var answer struct {
		Trials []struct {
			Measured []map[string]any
			Curve    []struct {
				Set    string
				Epochs []map[string]any
			}
		}
		Means []any
	}
	if err := json.Unmarshal([]byte(stdout), &answer); err != nil {
		t.Fatal(err)
	}
	if code != 0 || len(answer.Trials) != 1 || len(answer.Means) != 0 {
		t.Fatalf("code %d:\n%s", code, stdout)
	}
	one := answer.Trials[0]
	if len(one.Curve) != 2 || one.Curve[1].Set != "ori-test" || len(one.Curve[1].Epochs) != 2 ||
		one.Curve[1].Epochs[1]["loss"] != one.Measured[1]["loss"] {
		t.Errorf("the curve is %+v", one.Curve)
	}
}

func TestQueryBest(t *testing.T) {
	args := []string{"query", asked, "--best", "--dataset", "cifar10", "--set", "valid", "--max-params", "0.003"}
	stdout, _, code := nb201(args...)
	want := `architecture  3  |avg_pool_3x3~0|+|skip_connect~0|none~1|+|none~0|none~1|skip_connect~2|
accuracy      84.8860 % on x-valid after training on cifar10-valid with schedule 12
costs         0.17007 MFLOPs, 0.001332 Mparams
compared      2 architectures; beyond the limits: 1; without such a trial: 0
`
	if code != 0 || stdout != want {
		t.Errorf("code %d, stdout\n%s\nwant\n%s", code, stdout, want)
	}
	stdout, _, code = nb201(append(args, "--json")...)
	if got := compact(t, stdout); code != 0 || !strings.HasPrefix(got, `{"architecture":3,"genotype":"|avg_pool_3x3~0|`) ||
		!strings.HasSuffix(got, `"compared":2,"beyond_limits":1,"lacking":0}`) {
		t.Errorf("code %d, %s", code, got)
	}
}

// TestNotHeld checks that asking for what the benchmark does not contain ends in code 2 and one
// sentence that says what it contains.
func TestNotHeld(t *testing.T) {
	for _, test := range []struct{ args, want string }{
		{"2", "does not hold architecture 2; it holds 3 architectures from 1 to 123"},
		{"1 --schedule 200", `architecture 1 has no schedule "200"; it has 12`},
		{"1 --dataset svhn", "it has trials on cifar10-valid, cifar10, cifar100, ImageNet16-120"},
		{"1 --dataset cifar10-valid --seed 999", "it has seeds 111, 777"},
		{"1 --seed 999", "it has seeds 111, 777"},
		{"1 --dataset cifar10 --set x-test", `no evaluation set "x-test"; it has ori-test`},
		{"1 --epoch 12", "after epoch 12 (counted from 0); it has epochs: 0 to 11"},
		{"1 --epoch -1", "--epoch -1: epochs count from 0; use 0 or more"},
		{"1 --max-flops 3", "need --best"},
		{"--best", "--best needs --dataset and --set"},
		{"--best --dataset cifar10 --set test --epoch 3", "leave out --seed and --epoch"},
		{"--best --dataset cifar10 --set test --schedule 200", `has no schedule "200"; it has 12`},
		{"--best --dataset cifar10 --set test --max-flops 0.01", "is within the limits; raise the limits"},
		{"1 --best --dataset cifar10 --set test", "takes one PATH, got 2"},
	} {
		stdout, stderr, code := nb201(append([]string{"query", asked}, strings.Fields(test.args)...)...)
		errors := stderr[strings.LastIndex(strings.TrimSuffix(stderr, "\n"), "\n")+1:] // after the progress
		if code != 2 || stdout != "" || !strings.HasPrefix(errors, "nb201: ") || !strings.Contains(errors, test.want) {
			t.Errorf("nb201 query %s: code %d, stdout %q, stderr %q; want %q", test.args, code, stdout, stderr, test.want)
		}
	}
}

// TestNonFinite prints numbers that JSON cannot express.
func TestNonFinite(t *testing.T) {
	c := &cobra.Command{}
	var text strings.Builder
	c.SetOut(&text)
	if err := printJSON(c, []float64{1, math.NaN(), math.Inf(1), math.Inf(-1)}); err != nil {
		t.Fatal(err)
	}
	if got := compact(t, text.String()); got != `[1,"NaN","+Inf","-Inf"]` {
		t.Error(got)
	}
}

// The file of --plot is checked before the benchmark is opened. The answer is printed as without it.
func TestQueryPlot(t *testing.T) {
	dir := t.TempDir()
	for _, test := range []struct {
		args, file, stderr string
	}{
		{"nowhere 1", "curves.pdf", "the name of a plot ends in .svg or .png"},
		{"nowhere 1", "curves", "the name of a plot ends in .svg or .png"},
		{"nowhere 1 --epoch 3", "curves.svg", "--plot draws all epochs; leave out --epoch"},
		{asked + " 1 --dataset cifar10 --set x-valid", "curves.svg", "x-valid"},
	} {
		file := filepath.Join(dir, test.file)
		_, stderr, code := nb201(append(strings.Fields("query "+test.args), "--plot", file)...)
		if _, err := os.Stat(file); code != 2 || !strings.Contains(stderr, test.stderr) || !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("query %s --plot %s: code %d, stderr %q, file %v", test.args, test.file, code, stderr, err)
		}
	}
	for args, want := range map[string]string{
		"1 --dataset cifar10-valid --set valid":      ">x-valid, 2 seeds</text>",
		"1 --json":                                   ">cifar100, x-test</text>",
		"--best --dataset cifar10 --set valid":       ">architecture 3: 84.89 %, 0.17 MFLOPs</text>",
		"--best --dataset cifar10 --set test --json": ">3 architectures on ori-test after training on cifar10 with schedule 12</text>",
	} {
		file := filepath.Join(dir, "plot.svg")
		command := append([]string{"query", asked}, strings.Fields(args)...)
		stdout, _, _ := nb201(command...)
		drawn, stderr, code := nb201(append(command, "--plot", file)...)
		text, err := os.ReadFile(file)
		if code != 0 || drawn != stdout || err != nil || !strings.Contains(string(text), want) {
			t.Errorf("query %s: code %d, stderr %q, stdout %q, %v; the plot has no %q", args, code, stderr, drawn, err, want)
		}
	}
}
