package main

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// foreign matches words of libraries, which mean nothing to users.
var foreign = regexp.MustCompile(`strconv|shorthand|pflag|cobra|arg\(s\)|flag\(s\)|invalid (syntax|argument)|required flag|parse error|bare "`)

// everyCommand lists the words that name each command of the tree.
func everyCommand(c *cobra.Command, words []string) [][]string {
	all := [][]string{words}
	for _, below := range c.Commands() {
		all = append(all, everyCommand(below, append(slices.Clone(words), below.Name()))...)
	}
	return all
}

// TestEveryCommandRefuses checks that every command refuses wrong flags, values and arguments in one
// line, in this program's words.
func TestEveryCommandRefuses(t *testing.T) {
	t.Chdir(t.TempDir())
	refuse := func(args ...string) string {
		stdout, stderr, code := nb201(args...)
		if code != 2 || stdout != "" || !strings.HasPrefix(stderr, "nb201: ") || strings.Count(stderr, "\n") != 1 || foreign.MatchString(stderr) {
			t.Errorf("nb201 %q: code %d, stdout %q, stderr %q", args, code, stdout, stderr)
		}
		return stderr
	}
	wrong := map[string][]string{ // values of a type of flags
		"int": {"x", "1e3", "5-", "1.5", "99999999999999999999", ""}, "SEED": {"x", "-1", "1.5", "4294967296", "99999999999999999999"},
		"float64": {"x", "1,5", "1e999"}, "bool": {"x", "2"}, "duration": {"x", "5", "99999999999h"},
		"intSlice": {"x", "1,x", "1e3", "5-", "99999999999999999999"}, "stringSlice": {`"a`},
	}
	for _, words := range everyCommand(newRootCommand(), nil) {
		with := func(args ...string) []string { return append(slices.Clone(words), args...) }
		if text := refuse(with("--no-such-flag")...); !strings.Contains(text, "unknown flag --no-such-flag") {
			t.Errorf("%q: %s", words, text)
		}
		refuse(with("-q")...)
		refuse(with("-quiet=1")...)
		refuse(with("--=1")...)
		c, _, err := newRootCommand().Find(words)
		if err != nil {
			t.Fatal(err)
		}
		if !c.HasSubCommands() {
			refuse(with("a", "b", "c", "d")...)
		}
		required := false
		c.Flags().VisitAll(func(f *pflag.Flag) {
			if f.Name == "help" || f.Name == "version" {
				return
			}
			required = required || f.Annotations[cobra.BashCompOneRequiredFlag] != nil
			if f.NoOptDefVal == "" {
				refuse(with("--" + f.Name)...)
			}
			for _, value := range wrong[f.Value.Type()] {
				if text := refuse(with("--" + f.Name + "=" + value)...); !strings.Contains(text, "--"+f.Name+" ") || !strings.Contains(text, ": use ") {
					t.Errorf("%q --%s=%s: %s", words, f.Name, value, text)
				}
			}
			if len(f.Name) > 4 && !f.Hidden {
				near := f.Name[:len(f.Name)-1] + "q"
				if text := refuse(with("--" + near)...); !strings.Contains(text, "did you mean --") || !strings.Contains(text, "--"+f.Name) {
					t.Errorf("%q --%s: %s", words, near, text)
				}
				refuse(with("-" + f.Name)...)
			}
		})
		if required {
			refuse(with("a")...)
		}
	}
}

func TestFlagErrors(t *testing.T) {
	for args, want := range map[string]string{
		"train 0 --epoch 3":                            "unknown flag --epoch; did you mean --epochs? (see nb201 train --help)",
		"train 0 -seed 3":                              "unknown flag -seed; did you mean --seed? (see nb201 train --help)",
		"train 0 --dataest x":                          "unknown flag --dataest; did you mean --dataset?",
		"train 0 --seed":                               "--seed needs a value: --seed SEED (see nb201 train --help)",
		"train 0 --epochs 1e3":                         `--epochs "1e3": use a whole number (see nb201 train --help)`,
		"plan p --epochs 12,":                          `--epochs "12,": use whole numbers, separated by commas`,
		"run p --hang-after 5":                         `--hang-after "5": use a time such as 90s, 5m or 2h`,
		"plan p --rate 1e999":                          `--rate "1e999": use a smaller number`,
		"train 0 --epochs 1" + strings.Repeat("0", 20): `use a smaller whole number`,
		"query a 0 --json=maybe":                       `--json "maybe": use true or false`,
		"latency --dataset \"a":                        `use names separated by commas, without quotes`,
		"doctor now":                                   `nb201: doctor takes only flags, not the argument "now" (see nb201 doctor --help)`,
		"slurm p --submit --resubmit":                  "--resubmit and --submit exclude each other; give only one of them",
		"train 0 --seed 1":                             "missing --dataset",
	} {
		stdout, stderr, code := nb201(strings.Fields(args)...)
		if code != 2 || stdout != "" || !strings.Contains(stderr, want) {
			t.Errorf("nb201 %s: code %d, stdout %q, stderr %q; want %q", args, code, stdout, stderr, want)
		}
	}
}
