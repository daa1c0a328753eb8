package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"nb201/internal/helptext"
	"nb201/internal/inert"
	"nb201/internal/outfile"
	"nb201/internal/usage"
)

func newManCommand() *cobra.Command {
	var dir string
	var force bool
	c := &cobra.Command{
		Use:   "man --to DIR",
		Short: "Write the manual pages",
		Long: `man writes a manual page for nb201 and for each of its commands into DIR, which it makes if
it does not exist. The pages have the text of --help, the exit codes and the environment
variables. man(1) finds them in ~/.local/share/man/man1 if nb201 is in ~/.local/bin.

Earlier pages of nb201 are replaced, and no other files unless --force is given. The pages
have no date, so the same release always writes the same bytes; SOURCE_DATE_EPOCH sets one.`,
		Example: `  nb201 man --to ~/.local/share/man/man1
  man nb201-train`,
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			date, err := sourceDate(os.Getenv("SOURCE_DATE_EPOCH"))
			if err != nil {
				return err
			}
			n, err := writeManual(c, dir, date, force)
			if err != nil {
				return err
			}
			_, err = inert.Fprintf(human(c), "%d manual pages in %s; read the first with: man %s\n", n, dir, filepath.Join(dir, manualName(c.Root())+".1"))
			return err
		},
	}
	c.Flags().StringVar(&dir, "to", "", "write the pages into `DIR`")
	c.Flags().BoolVar(&force, "force", false, "replace any existing files of these names")
	markRequired(c, "to")
	return c
}

// sourceDate returns the date in SOURCE_DATE_EPOCH, the number of seconds since 1970, or "" if it is not
// set (https://reproducible-builds.org/docs/source-date-epoch).
func sourceDate(epoch string) (string, error) {
	if epoch == "" {
		return "", nil
	}
	seconds, err := strconv.ParseInt(epoch, 10, 64)
	if err != nil || seconds < 0 {
		return "", usage.Errorf("SOURCE_DATE_EPOCH=%s: use a number of seconds since 1970, or unset it", epoch)
	}
	return time.Unix(seconds, 0).UTC().Format(time.DateOnly), nil
}

// manualMark begins every page, by which man recognises its earlier ones.
const manualMark = `.\" Made by nb201 man.` + "\n"

// writeManual writes the pages of all commands into dir, and returns their number. It writes none if
// one of them must not replace an existing file.
func writeManual(c *cobra.Command, dir, date string, force bool) (int, error) {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return 0, usage.Errorf("cannot make the directory %s: %w; name another directory", dir, err)
	}
	type page struct {
		out  *outfile.Output
		text string
	}
	var pages []page
	for _, command := range manualCommands(c.Root()) {
		own := func(head []byte) bool { return bytes.HasPrefix(head, []byte(manualMark)) }
		out, err := outfile.Check(filepath.Join(dir, manualName(command)+".1"), outfile.Rules{Own: own, Force: force})
		if err != nil {
			return 0, err
		}
		pages = append(pages, page{out, manualPage(command, date)})
	}
	for _, p := range pages {
		err := p.out.Write(c.Context(), func(w io.Writer) error {
			_, err := io.WriteString(w, p.text)
			return err
		})
		if err != nil {
			return 0, err
		}
	}
	return len(pages), nil
}

// manualCommands lists the commands that have a page: c and those below it that are not hidden, except
// for help.
func manualCommands(c *cobra.Command) []*cobra.Command {
	list := []*cobra.Command{c}
	for _, below := range c.Commands() {
		if below.IsAvailableCommand() && below.Name() != "help" {
			list = append(list, manualCommands(below)...)
		}
	}
	return list
}

// manualName returns the name of a command's page, such as nb201-data-get.
func manualName(c *cobra.Command) string { return strings.ReplaceAll(c.CommandPath(), " ", "-") }

// environment lists the variables that nb201 reads, each with the commands that do; none are all.
var environment = []struct {
	names, about string
	commands     string
}{
	{"NB201_HOME", "the directory of XLA plugins (default: ~/.local/share/nb201, or nb201 in $XDG_DATA_HOME)", "setup doctor train run slurm latency kernels verify"},
	{"GOMLX_BACKEND", "xla:PATH names an XLA plugin to use instead of the installed one", "setup doctor train run latency verify"},
	{"NB201_PROGRAMS", "the directory of compiled programs (default: below the cache directory), or off to keep none", "doctor train run latency verify"},
	{"NB201_KERNELS", "the instruction set of the kernels for the CPU: plain, avx2 or avx512 (default: the processor's best)", "doctor train run latency verify"},
	{"XDG_CACHE_HOME", "the cache directory, for compiled programs and for the indexes of merged files (default: ~/.cache)", "doctor train run latency query report compare verify export"},
	{"NB201_DATA, TORCH_HOME", "the data directory, for commands without --data: NB201_DATA goes before TORCH_HOME (default: ~/.torch)", "data doctor train plan run slurm verify"},
	{"CUDA_VISIBLE_DEVICES", "the GPUs that a process may use, which batch systems set", "train run latency verify"},
	{"XLA_FLAGS", "flags of XLA; an unknown one ends the process", "doctor train run latency kernels verify"},
	{"PIP_INDEX_URL, PIP_PROXY, PIP_CERT", "the package index, proxy and certificates, as for pip", "setup"},
	{"HTTP_PROXY, HTTPS_PROXY, NO_PROXY, SSL_CERT_FILE", "proxies and certificates of downloads", "setup data"},
	{"SOURCE_DATE_EPOCH", "the date of the manual pages, in seconds since 1970", "man"},
	{"NO_COLOR", "if it is not empty, curves are drawn without colours on a terminal", "train query"},
	{"TERM", "dumb prints plain lines, without colours and without redrawing", ""},
}

// flagLine is the line of a flag in a help text that is not wrapped.
var flagLine = regexp.MustCompile(`^ +(?:(-\w), )?(--[\w-]+)(?: (\S.*?))? {3,}(.*)$`)

// manualPage returns the page of a command in roff.
func manualPage(c *cobra.Command, date string) string {
	c.InitDefaultHelpFlag()
	var b strings.Builder
	section := func(title string) { b.WriteString(".SH " + title + "\n") }
	tagged := func(tag, text string) { b.WriteString(".TP\n" + tag + "\n" + helptext.Escape(text) + "\n") }
	bold := func(text string) string { return `\fB` + helptext.Escape(text) + `\fR` }

	b.WriteString(manualMark)
	// Without hyphenation, so that no name is cut, and without justification.
	fmt.Fprintf(&b, ".nr HY 0\n.TH %s 1 \"%s\" \"nb201 %s\" \"nb201 manual\"\n.ad l\n", strings.ToUpper(helptext.Escape(manualName(c))), date, release)
	section("NAME")
	b.WriteString(helptext.Escape(manualName(c)) + ` \- ` + helptext.Escape(c.Short) + "\n")
	section("SYNOPSIS")
	if c.HasSubCommands() {
		b.WriteString(helptext.Usage(c.CommandPath()+" COMMAND", len(strings.Fields(c.CommandPath()))) + "\n")
	} else {
		b.WriteString(helptext.Usage(c.UseLine(), len(strings.Fields(c.CommandPath()))) + "\n")
	}
	section("DESCRIPTION")
	about, _ := helpOf(c)
	b.WriteString(helptext.Roff(about))
	if commands := manualCommands(c)[1:]; len(commands) > 0 {
		section("COMMANDS")
		for _, below := range c.Commands() {
			if slices.Contains(commands, below) {
				tagged(bold(manualName(below))+"(1)", below.Short)
			}
		}
	}
	section("OPTIONS")
	for line := range strings.Lines(c.LocalFlags().FlagUsages()) {
		m := flagLine.FindStringSubmatch(strings.TrimRight(line, "\n"))
		if m == nil {
			panic("a flag's help has another form: " + line)
		}
		tag := bold(m[2])
		if m[1] != "" {
			tag = bold(m[1]) + ", " + tag
		}
		if m[3] != "" {
			tag += ` \fI` + helptext.Escape(m[3]) + `\fR`
		}
		tagged(tag, m[4])
	}
	if c.Example != "" {
		section("EXAMPLES")
		b.WriteString(helptext.Commands(c.Example))
	}
	section("EXIT STATUS")
	for _, code := range exitCodes {
		tagged(bold(code[0]), code[1])
	}
	section("ENVIRONMENT")
	first, _, _ := strings.Cut(commandName(c), " ")
	for _, v := range environment {
		if !c.HasParent() || v.commands == "" || slices.Contains(strings.Fields(v.commands), first) {
			tagged(bold(v.names), v.about)
		}
	}
	section("SEE ALSO")
	var also []string
	for up := c.Parent(); up != nil; up = up.Parent() {
		also = append(also, bold(manualName(up))+"(1)")
	}
	if !c.HasParent() {
		also = []string{bold("man") + "(1)"}
	}
	b.WriteString(strings.Join(also, ",\n") + "\n")
	return b.String()
}
