package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"nb201/internal/needs"
	"nb201/results"
	"nb201/results/resultstest"
)

// commandTree lists the commands below c, hidden ones too, but not those of cobra.
func commandTree(c *cobra.Command) (list []*cobra.Command) {
	for _, below := range c.Commands() {
		list = append(append(list, below), commandTree(below)...)
	}
	return list
}

// Every flag that takes a value has a completion, which may be nothing, and so have the arguments of
// every command. No decision is left over from a flag or a command that no longer exists.
func TestCompletionDecisions(t *testing.T) {
	unused := map[string]bool{}
	for name := range flagValues {
		unused[name] = true
	}
	for name := range arguments {
		unused[name] = true
	}
	for _, c := range commandTree(newRootCommand()) {
		name := commandName(c)
		delete(unused, name)
		if c.ValidArgsFunction == nil && !c.HasSubCommands() {
			t.Errorf("%s has no completion of its arguments; add it to arguments in complete.go", name)
		}
		if strings.Contains(c.Use, " ") && !strings.HasPrefix(strings.SplitN(c.Use, " ", 2)[1], "--") && arguments[name] == nil {
			t.Errorf("%q has arguments without a decision; add them to arguments in complete.go", c.Use)
		}
		c.Flags().VisitAll(func(f *pflag.Flag) {
			own, all := name+" --"+f.Name, "--"+f.Name
			switch {
			case flagValues[own] != nil:
				delete(unused, own)
			default:
				delete(unused, all)
			}
			if _, ok := c.GetFlagCompletionFunc(f.Name); !ok && f.NoOptDefVal == "" {
				t.Errorf("%s has no completion of --%s; add it to flagValues in complete.go, or if nothing applies, with nothing", name, f.Name)
			}
		})
	}
	for name := range unused {
		t.Errorf("no command uses the decision for %q", name)
	}
}

// completion returns the candidates for a command line, without their descriptions, and the directive.
// It fails the test if anything but that is printed.
func completion(t *testing.T, args ...string) (list []string, directive string) {
	t.Helper()
	stdout, stderr, code := nb201(append([]string{"__complete"}, args...)...)
	if code != 0 || !strings.HasPrefix(stderr, "Completion ended with directive: ") || strings.Count(stderr, "\n") != 1 {
		t.Errorf("%q: code %d, stderr %q", args, code, stderr)
	}
	for line := range strings.Lines(stdout) {
		value, _, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		list = append(list, value)
	}
	if len(list) == 0 {
		t.Fatalf("%q: no output", args)
	}
	return list[:len(list)-1], list[len(list)-1]
}

// completionCampaign makes a directory with a campaign, an own dataset, a file and a pipe, and changes
// to it.
func completionCampaign(t *testing.T) {
	t.Helper()
	c := resultstest.Fill(t,
		results.Trial{Arch: 4, Dataset: "digits", Epochs: 1, Seed: 1}, results.Trial{Arch: 4, Dataset: "digits", Epochs: 3, Seed: 777},
		results.Trial{Arch: 41, Dataset: "cifar10", Epochs: 12, Seed: 888})
	t.Chdir(t.TempDir())
	t.Setenv("NB201_DATA", "nowhere")
	if err := os.CopyFS("campaign", os.DirFS(c.Dir)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"mine.json", "merged.pth", "sets/own.json", ".hidden.json"} {
		if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, nil, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	needs.System(t, exec.CommandContext(t.Context(), "mkfifo", "pipe").Run())
}

// tree lists all files with their sizes and times.
func tree(t *testing.T) (list []string) {
	t.Helper()
	err := filepath.Walk(".", func(path string, info os.FileInfo, err error) error {
		if err == nil {
			list = append(list, fmt.Sprint(path, info.Mode(), info.Size(), info.ModTime()))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestCompletion(t *testing.T) {
	completionCampaign(t)
	before := tree(t)
	const (
		none  = ":4"
		kept  = ":36" // in order, no files
		list  = ":6"  // no files, no space
		dirs  = ":16"
		paths = ":0"
	)
	for _, test := range []struct{ args, want, directive string }{
		{"query campaign _", "4 41", kept}, {"query campaign 41", "41", kept}, {"query campaign 5", "", kept},
		{"query campaign 4 _", "", none}, {"query campaign --best _", "", none},
		{"query merged.pth _", "", none}, {"query merged.pth 1562", "1562 15620 15621 15622 15623 15624", kept},
		{"query pipe _", "", none}, {"query none _", "", none},
		{"query _", "", paths},
		{"query campaign 4 --dataset _", "digits", kept}, {"query campaign --dataset _", "digits cifar10", kept},
		{"query merged.pth --dataset cifar10_", "cifar10-valid cifar10 cifar100", kept},
		{"query campaign 4 --schedule _", "1 3", kept}, {"query campaign 41 --schedule=_", "12", kept}, {"query pipe 4 --schedule _", "12 200", kept},
		{"query campaign 4 --seed _", "1 777", kept}, {"query campaign --seed _", "1 777 888", kept}, {"query --seed _", "777 888 999 111", kept},
		{"query campaign 4 --set x_", "x-valid x-test", kept},
		{"query campaign 4 --plot _", "svg png", ":8"},
		{"export campaign --format n_", "nasbench201 nats naslib", none}, {"export campaign --less _", "1 3 12", kept},
		{"export campaign --times _", "measured published", kept}, {"export campaign --to _", "", paths},
		{"export campaign --latency _", "json", ":8"},

		{"train _", "--dataset", none}, {"train 15", "", none}, {"train 1462", "1462 14620 14621 14622 14623 14624 14625 14626 14627 14628 14629", kept},
		{"train 0146", "", none}, {"train 999999", "", kept}, {"train 0 _", "--dataset", none},
		{"train 0 --dataset _", "cifar10-valid cifar10 cifar100 ImageNet16-120 digits mine.json", none},
		{"train 0 --dataset s_", "sets/", list}, {"train 0 --dataset sets/_", "sets/own.json", none}, {"train 0 --dataset none/_", "", list},
		{"train 0 --epochs _", "12 200 90", kept}, {"train 0 --space _", "tss sss", kept}, {"train 0 --weights d_", "drop", kept}, {"train 0 --device _", "cpu cuda", kept},
		{"train 0 --parity _", "2019 1.7 modern", kept}, {"train 0 --timeline _", "dec2019 nov2019", kept},
		{"train 0 --precision _", "fp32 tf32 bf16 fp64", kept}, {"train 0 --out _", "", dirs}, {"train 0 --data _", "", dirs},
		{"train 0 --batch _", "", none}, {"train 0 --from _", "", paths},

		{"plan _", "", dirs}, {"plan campaign _", "", none},
		{"plan new --datasets _", "cifar10-valid cifar10 cifar100 ImageNet16-120 digits mine.json", list},
		{"plan new --datasets digits,c_", "digits,cifar10-valid digits,cifar10 digits,cifar100", list},
		{"plan new --datasets digits,sets/_", "digits,sets/own.json", list},
		{"plan new --seeds 777,8_", "777,888", ":38"}, {"plan new --epochs 12,_", "12,200 12,90", ":38"},
		{"plan new --preset _", "nas-bench-201-v1_1 nats-sss-v1_0 sample", kept}, {"plan new --archs _", "unique", paths}, {"plan new --devices _", "", none},
		{"run campaign --devices cpu,v_", "cpu,visible", list}, {"run campaign --hang-after _", "", none},
		{"slurm _", "", dirs}, {"slurm campaign --partition _", "", none}, {"status _", "", dirs}, {"verify _", "", paths},
		{"compare campaign _", "", paths}, {"compare campaign merged.pth _", "", none},

		{"setup _", "", none}, {"setup --device _", "cpu cuda12 cuda13", kept}, {"doctor --data _", "", dirs},
		{"data get _", "cifar10-valid cifar10 cifar100 ImageNet16-120", none}, {"data get cifar10 --format _", "python binary", kept},
		{"data check m_", "mine.json", none}, {"data list _", "json", ":8"}, {"data import --label _", "first last", kept}, {"data imagenet16 --from _", "", dirs},
		{"kernels 0 --gpu _", "a100 h100", kept}, {"latency 0 --dataset digits,cifar100_", "digits,cifar100", list},
		{"arch 1462", "1462 14620 14621 14622 14623 14624 14625 14626 14627 14628 14629", kept}, {"arch --all 1462", "", none},
		{"arch --all --csv _", "csv", ":8"}, {"arch --all --parquet _", "parquet", ":8"}, {"arch 0 --dataset digits,sets/_", "digits,sets/own.json", list},
		{"init-weights 0 --seed _", "777 888 999 111", kept}, {"comp", "compare completion", none}, {"completion z_", "zsh", none}, {"help st", "status", none},
	} {
		args := strings.Fields(test.args)
		last := len(args) - 1
		args[last] = strings.TrimSuffix(args[last], "_") // marks the cursor after an empty word
		got, directive := completion(t, args...)
		if strings.Join(got, " ") != test.want || directive != test.directive {
			t.Errorf("nb201 %s: %q %s; want %q %s", test.args, got, directive, test.want, test.directive)
		}
	}
	if after := tree(t); !slices.Equal(before, after) {
		t.Errorf("completion changed files:\n%q\n%q", before, after)
	}
	stdout, _, _ := nb201("__complete", "query", "campaign", "41")
	if want := "41\t|"; !strings.HasPrefix(stdout, want) {
		t.Errorf("%q does not describe the architecture", stdout)
	}
}

// The architectures of a whole campaign are listed in well under the time in which a person presses a
// key.
func TestCompletionOfManyArchitectures(t *testing.T) {
	needs.Long(t, "completes thousands of architectures")
	dir := t.TempDir()
	for i := range 15625 {
		if err := os.MkdirAll(filepath.Join(dir, "trials", fmt.Sprintf("%06d", i)), 0o777); err != nil {
			t.Fatal(err)
		}
	}
	for typed, want := range map[string]int{"": 15625, "1": 6736, "1462": 11} {
		began := time.Now()
		got, _ := completion(t, "query", dir, typed)
		if took := time.Since(began); len(got) != want || took > patience {
			t.Errorf("%q: %d architectures in %v", typed, len(got), took)
		}
	}
}

// nb201Program returns a directory with a program nb201, which is this test.
func nb201Program(t *testing.T) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.Symlink(self, filepath.Join(dir, "nb201")); err != nil {
		t.Fatal(err)
	}
	return dir
}

// shellScript writes the completion script of a shell and returns its path.
func shellScript(t *testing.T, shell string) string {
	t.Helper()
	stdout, stderr, code := nb201("completion", shell)
	if code != 0 || stderr != "" {
		t.Fatalf("code %d, stderr %q", code, stderr)
	}
	path := filepath.Join(t.TempDir(), "_nb201")
	if err := os.WriteFile(path, []byte(stdout), 0o666); err != nil {
		t.Fatal(err)
	}
	return path
}

// inShell runs a script in a shell, in which the program nb201 is on PATH, and returns the lines that
// it prints, sorted.
func inShell(t *testing.T, script string, shell ...string) []string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), shell[0], append(shell[1:], "-c", script)...)
	cmd.Env = append(os.Environ(), "PATH="+nb201Program(t)+":"+os.Getenv("PATH"), "HOME="+t.TempDir())
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil || stderr.String() != "" {
		t.Fatalf("%v\n%s\nstderr %q", err, out, &stderr)
	}
	lines := strings.Fields(string(out))
	slices.Sort(lines)
	return lines
}

// shellCases are command lines, each with the last word to complete, and the candidates.
var shellCases = map[string]string{
	"nb201 query campaign ":                      "4 41",
	"nb201 query campaign 41 --dataset ":         "cifar10",
	"nb201 export campaign --format na":          "nasbench201 naslib nats",
	"nb201 train 0 --precision ":                 "bf16 fp32 fp64 tf32",
	"nb201 train 0 --dataset dig":                "digits",
	"nb201 plan new --datasets digits,cifar10-v": "digits,cifar10-valid",
	"nb201 data get cifar100":                    "cifar100",
}

func TestCompletionInBash(t *testing.T) {
	bash, script := needs.Program(t, "bash"), shellScript(t, "bash")
	completionCampaign(t)
	for line, want := range shellCases {
		got := inShell(t, fmt.Sprintf(`source %q
words=(%s) ; [[ %q == *' ' ]] && words+=('')
COMP_WORDS=("${words[@]}") COMP_CWORD=$((${#words[@]} - 1)) COMP_LINE=%q COMP_POINT=${#COMP_LINE} COMP_TYPE=9 COMP_KEY=9
_get_comp_words_by_ref() { # of bash-completion, which need not be installed
	cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} words=("${COMP_WORDS[@]}") cword=$COMP_CWORD
}
_init_completion() { _get_comp_words_by_ref; }
__ltrim_colon_completions() { :; }
compopt() { :; }
__start_nb201
for word in "${COMPREPLY[@]}"; do echo "${word%%%% *}"; done`, script, line, line, line), bash, "--norc")
		if joined := strings.ReplaceAll(strings.Join(got, " "), `\,`, ","); joined != want { // bash quotes commas
			t.Errorf("%q: %q, want %q", line, got, want)
		}
	}
}

func TestCompletionInFish(t *testing.T) {
	fish, script := needs.Program(t, "fish"), shellScript(t, "fish")
	completionCampaign(t)
	for line, want := range shellCases {
		got := inShell(t, fmt.Sprintf("source %q; complete -C %q | string replace -r '\\t.*' ''; true", script, line), fish, "--no-config")
		// Where no space must follow, the script adds a candidate with a dot.
		got = slices.DeleteFunc(got, func(s string) bool { return s == want+"." })
		if strings.Join(got, " ") != want {
			t.Errorf("%q: %q, want %q", line, got, want)
		}
	}
}

// In zsh the script calls _describe, which only works while zle completes: here it prints the
// candidates, and compdef does nothing.
func TestCompletionInZsh(t *testing.T) {
	zsh, script := needs.Program(t, "zsh"), shellScript(t, "zsh")
	completionCampaign(t)
	for line, want := range shellCases {
		got := inShell(t, fmt.Sprintf(`compdef() { : }
_describe() { print -rl -- ${completions%%%%:*} }
source %q
words=(%s); [[ %q == *' ' ]] && words+=('')
CURRENT=${#words}
_nb201`, script, line, line), zsh, "-f")
		if strings.Join(got, " ") != want {
			t.Errorf("%q: %q, want %q", line, got, want)
		}
	}
}
