package main

import (
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"
	"github.com/mattn/go-runewidth"

	"nb201/internal/needs"
	"nb201/results"
	"nb201/results/resultstest"
	"nb201/scheduler/attempt"
)

// onTerminal runs a command line on a terminal of this many columns, and returns what the terminal
// receives.
func onTerminal(t *testing.T, columns uint16, args ...string) (text string, code int) {
	t.Helper()
	own, tty, err := pty.Open()
	needs.System(t, err)
	defer own.Close()
	if err := pty.Setsize(tty, &pty.Winsize{Rows: 24, Cols: columns}); err != nil {
		t.Fatal(err)
	}
	received := make(chan string)
	go func() {
		text, _ := io.ReadAll(own) // ends with an error when the terminal is closed
		received <- string(text)
	}()
	code = run(args, tty, tty)
	tty.Close()
	return strings.ReplaceAll(<-received, "\r\n", "\n"), code
}

// terminalCommands returns command lines that print tables, lists, sentences and errors about a
// campaign with long names, a plan, failures and a damaged record.
func terminalCommands(t *testing.T) [][]string {
	t.Helper()
	c := resultstest.Fill(t, append(resultstest.Grid(4, 1462, 15624),
		results.Trial{Arch: 4, Dataset: "digits", Epochs: 3, Seed: 1}, results.Trial{Arch: 4, Dataset: "digits", Epochs: 3, Seed: 4294967295})...)
	failure := attempt.Failure{Trial: results.Trial{Arch: 15000, Dataset: "ImageNet16-120", Epochs: 200, Seed: 777}, TrialFailed: true}
	failure.Attempts = []attempt.FailedAttempt{{
		When: time.Now(), Host: "a-node-with-a-long-name.cluster.example.org", Device: "cuda:0", Kind: attempt.OutOfMemory,
		Reason: "the loss of the training pass is not a number after 17 batches, and the weights of the stem are not finite", Log: "logs/a.log",
	}}
	if err := failure.Write(c.Dir); err != nil {
		t.Fatal(err)
	}
	running := statusCampaign(t)
	t.Chdir(filepath.Dir(c.Dir))
	name := filepath.Base(c.Dir)
	if err := os.CopyFS("damaged", os.DirFS(name)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("damaged/trials/000004/digits/0005-0001.json", []byte("{"), 0o666); err != nil {
		t.Fatal(err)
	}
	planned := [][]string{
		{"plan", name, "--archs", "4,1462,15000-15099,15624", "--datasets", "cifar10-valid,cifar10,cifar100,ImageNet16-120", "--epochs", "12,200", "--seeds", "777,888,999"},
		{"plan", name, "--archs", "0-99", "--datasets", "digits", "--epochs", "3", "--seeds", "1", "--rate", "1000"},
	}
	return append(planned, [][]string{
		{"plan", name, "--rate", "8000", "--devices", "8"}, {"status", name}, {"status", name, "--failed"}, {"status", running}, {"status", running, "--failed"},
		{"query", name, "4"}, {"query", name, "4", "--dataset", "digits", "--seed", "1"}, {"query", name, "4", "--set", "train"},
		{"query", name, "--best", "--dataset", "cifar10", "--set", "ori-test"}, {"verify", name}, {"verify", "damaged"}, {"status", "damaged"}, {"compare", name, name},
		{"export", name, "--format", "csv", "--to", "tables"}, {"data", "list"}, {"data", "check", "digits"},
		{"arch", "1462"}, {"arch", "--all", "--csv", "tables.csv", "--force"}, {"arch", "--all"}, {"init-weights", "0", "--seed", "1", "--cells", "1", "--to", "initial.pth"}, {"man", "--to", "man1"},
		{"query", name, "5"}, {"query", name}, {"trian"}, {"verify", "nothing"}, {"export", name, "--format", "zip", "--to", "a"},
		{"train", "0", "--dataset", "cifar10", "--epochs", "12", "--seed", "1", "--data", "nowhere", "--out", "a"}, {"run", "nothing"},
		{"data", "get", "ImageNet16-120"},
	}...)
}

// On terminals of 60 columns and more no line is wider than the terminal, except for words that cannot
// be broken, such as paths and genotype strings, which are then alone on their lines.
// With -short they are of 60 columns.
func TestTerminalWidths(t *testing.T) {
	commands := terminalCommands(t)
	for _, c := range commandTree(newRootCommand()) {
		commands = append(commands, append(strings.Fields(commandName(c)), "--help"))
	}
	commands = append(commands, []string{"doctor"}, []string{"--help"}, []string{"completion", "bash", "--help"})
	widths := []uint16{60, 80, 120}
	if !needs.IsLong() {
		widths = widths[:1]
	}
	for _, columns := range widths {
		for _, args := range commands {
			text, code := onTerminal(t, columns, args...)
			if code > 3 || text == "" {
				t.Errorf("%d columns, nb201 %s: code %d, %q", columns, strings.Join(args, " "), code, text)
			}
			for line := range strings.Lines(strings.ReplaceAll(control.ReplaceAllString(text, ""), "\r", "\n")) {
				line = strings.TrimRight(line, "\n")
				if n := runewidth.StringWidth(line); n > int(columns) && !unbroken.MatchString(line) {
					t.Errorf("nb201 %s: %d columns on a terminal of %d: %s", strings.Join(args, " "), n, columns, line)
				}
			}
		}
		if err := os.RemoveAll("tables"); err != nil {
			t.Fatal(err)
		}
	}
}

// control is a sequence that nb201 sends to a terminal besides text: colours, and the movements of a
// block that is redrawn.
var control = regexp.MustCompile(`\x1b\[[0-9;]*[A-Za-z]`)

// unbroken is a line that cannot be broken: of a word or a command, perhaps after the name of an item.
var unbroken = regexp.MustCompile("^ *(\\S+( \\S+)* {2,})?(`[^`]*`[;,.]?|\\S+)( \\\\)?$")

// Only curves have colours, and only on a terminal without NO_COLOR. A dumb terminal gets plain lines.
func TestTerminalColours(t *testing.T) {
	commands := terminalCommands(t)
	name := commands[0][1]
	commands = commands[:12] // those that draw, and some that do not
	colour := regexp.MustCompile(`\x1b\[[0-9;]*m`)
	for _, test := range []struct {
		noColor, term   string
		colours, escape bool // may be printed
	}{
		{"", "xterm-256color", true, true}, {"1", "xterm-256color", false, true}, {"", "dumb", false, false}, {"1", "dumb", false, false},
	} {
		t.Setenv("NO_COLOR", test.noColor)
		t.Setenv("TERM", test.term)
		coloured := 0
		for _, args := range commands {
			text, _ := onTerminal(t, 80, args...)
			if colour.MatchString(text) {
				coloured++
				if args[0] != "query" || !test.colours {
					t.Errorf("%+v: nb201 %s prints colours: %q", test, strings.Join(args, " "), text)
				}
			}
			if !test.escape && strings.ContainsAny(text, "\x1b\r") {
				t.Errorf("%+v: nb201 %s: %q", test, strings.Join(args, " "), text)
			}
		}
		if test.colours && coloured == 0 {
			t.Errorf("%+v: no curve has colours", test)
		}
		if err := os.RemoveAll("tables"); err != nil {
			t.Fatal(err)
		}
	}
	// Into a file or a pipe go neither colours nor movements, whatever the variables.
	t.Setenv("NO_COLOR", "")
	t.Setenv("TERM", "xterm-256color")
	stdout, stderr, _ := nb201("query", name, "4", "--dataset", "digits", "--seed", "1")
	if !strings.Contains(stdout, "┤") || strings.ContainsAny(stdout+stderr, "\x1b\r") {
		t.Errorf("%q, %q", stdout, stderr)
	}
}

// JSON is not wrapped, nor are scripts.
func TestTerminalOutputForPrograms(t *testing.T) {
	commands := terminalCommands(t)
	name := commands[0][1]
	for _, args := range append(commands[:2], []string{"plan", name, "--json"}, []string{"query", name, "4", "--json"}, []string{"completion", "bash"}) {
		if args[len(args)-1] != "--json" && args[0] != "completion" {
			nb201(args...)
			continue
		}
		want, _, _ := nb201(args...)
		if got, _ := onTerminal(t, 60, args...); got != want || len(want) < 1000 {
			t.Errorf("nb201 %s differs on a terminal:\n%s\nwant\n%s", strings.Join(args, " "), got, want)
		}
	}
}
