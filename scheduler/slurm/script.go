package slurm

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"nb201/internal/shell"
	"nb201/internal/usage"
)

// Request describes the resources of each element of an array, and the commands that it runs. The
// cluster's defaults apply to fields with the zero value.
type Request struct {
	Partition, Account string
	Time               time.Duration // time limit
	Warn               time.Duration // how long before the limit Slurm warns an element
	GPUs               GPUs
	CPUs               int
	Memory             string   // in Slurm's syntax: 16G
	MaxRunning         int      // elements that may run at the same time
	Sbatch             []string // more options for sbatch, such as "--qos=long"
	Modules            []string // environment modules to load
	Lines              []string // shell commands to run before nb201
	RunFlags           []string // flags for nb201 run, besides --chunk and --devices
}

// minWarn is the smallest Request.Warn. A run that is stopped exits within 20 seconds.
const minWarn = 30 * time.Second

// GPUs describes the GPUs of an element.
type GPUs struct {
	Count int
	Type  string // the cluster's name for the type; empty for any
}

var gpusPattern = regexp.MustCompile(`^(?:(?:gres[:/=])?gpu:)?(?:([A-Za-z][\w.-]*):)?(\d{1,3})$`)

// ParseGPUs parses a number of GPUs with or without a type, 2 or a100:2, also in Slurm's notation
// for resources: gpu:2, gpu:a100:2, gres:gpu:a100:2.
func ParseGPUs(text string) (GPUs, error) {
	m := gpusPattern.FindStringSubmatch(text)
	if m == nil {
		return GPUs{}, usage.Errorf("--gpus %q: not a number, or a type and a number; write 2 or a100:2, for example", text)
	}
	count, err := strconv.Atoi(m[2])
	return GPUs{count, m[1]}, err
}

func (g GPUs) String() string {
	if g.Type == "" {
		return strconv.Itoa(g.Count)
	}
	return fmt.Sprintf("%s:%d", g.Type, g.Count)
}

// ParseTime parses a time limit in Slurm's notation (MINUTES, MINUTES:SECONDS,
// HOURS:MINUTES:SECONDS, DAYS-HOURS, DAYS-HOURS:MINUTES, DAYS-HOURS:MINUTES:SECONDS) or in Go's
// (8h, 90m). It returns zero for an empty text.
func ParseTime(text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	wrong := usage.Errorf("--time %q: not a positive time; use Slurm's notation, such as 90 (minutes), 8:00:00 or 2-00:00:00, or a duration such as 8h or 90m",
		text)
	if d, err := time.ParseDuration(text); err == nil && text != "0" {
		if d <= 0 {
			return 0, wrong
		}
		return d, nil
	}
	units := []time.Duration{time.Minute, time.Second} // of the parts between colons
	days, rest, hasDays := strings.Cut(text, "-")
	parts := strings.Split(text, ":")
	var sum time.Duration
	if hasDays {
		n, err := strconv.ParseUint(days, 10, 16)
		if err != nil {
			return 0, wrong
		}
		sum, parts = time.Duration(n)*24*time.Hour, strings.Split(rest, ":")
	}
	if hasDays || len(parts) == 3 {
		units = []time.Duration{time.Hour, time.Minute, time.Second}
	}
	if len(parts) > len(units) {
		return 0, wrong
	}
	for i, part := range parts {
		n, err := strconv.ParseUint(part, 10, 24)
		if err != nil {
			return 0, wrong
		}
		sum += time.Duration(n) * units[i]
	}
	if sum <= 0 {
		return 0, wrong
	}
	return sum, nil
}

// formatTime formats a time in Slurm's notation, rounded up to seconds.
func formatTime(d time.Duration) string {
	s := int64((d + time.Second - 1) / time.Second)
	return fmt.Sprintf("%d-%02d:%02d:%02d", s/86400, s/3600%24, s/60%60, s%60)
}

// check returns a usage error for values that could change the meaning of the script, and for
// impossible times.
func (r *Request) check(dir string) error {
	for flag, value := range map[string]string{"partition": r.Partition, "account": r.Account, "mem": r.Memory} {
		if value != "" && !shell.Plain(value) {
			return usage.Errorf("--%s %q: not a valid value for Slurm; use only letters, digits and the characters .,:@%%+/=_-", flag, value)
		}
	}
	for _, module := range r.Modules {
		if !shell.Plain(module) {
			return usage.Errorf("--module %q: not the name of a module; use only letters, digits and the characters .,:@%%+/=_-", module)
		}
	}
	for _, option := range r.Sbatch {
		if !strings.HasPrefix(option, "-") || strings.ContainsAny(option, "\n\r") {
			return usage.Errorf("--sbatch %q: not an option of sbatch; write --sbatch=--qos=long, for example", option)
		}
	}
	for _, c := range dir {
		if c < ' ' || c == '"' || c == '\\' {
			return usage.Errorf("campaign %q: Slurm does not accept a path with the character %q; rename the directory", dir, c)
		}
	}
	switch {
	case r.CPUs < 0 || r.MaxRunning < 0:
		return usage.Errorf("--cpus %d, --max-running %d: must not be negative", r.CPUs, r.MaxRunning)
	case r.Warn < minWarn:
		return usage.Errorf("--warn %v: too short; use at least %v, the time to write checkpoints and requeue the element", r.Warn, minWarn)
	case r.Time > 0 && r.Time <= r.Warn:
		return usage.Errorf("--time %v: no element would train, because the warning comes %v before the end (--warn); use a longer time", r.Time, r.Warn)
	}
	return nil
}

// script returns the batch script of an array. elements are the numbers of the chunks to run, out
// of chunks; dir is the campaign, program the path of nb201, and about the text of a comment.
func (r *Request) script(program, dir, name, about string, elements []int, chunks int) string {
	var b strings.Builder
	option := func(format string, args ...any) { fmt.Fprintf(&b, "#SBATCH --"+format+"\n", args...) }
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	array := formatRanges(elements)
	if r.MaxRunning > 0 {
		array += fmt.Sprintf("%%%d", r.MaxRunning)
	}
	line("#!/bin/bash")
	line("# %s", about)
	option("job-name=%s-%d", name, chunks)
	option("array=%s", array)
	option("nodes=1")
	option("ntasks=1")
	if r.Partition != "" {
		option("partition=%s", r.Partition)
	}
	if r.Account != "" {
		option("account=%s", r.Account)
	}
	if r.Time > 0 {
		option("time=%s", formatTime(r.Time))
	}
	if r.GPUs.Count > 0 {
		option("gres=gpu:%v", r.GPUs)
	}
	if r.CPUs > 0 {
		option("cpus-per-task=%d", r.CPUs)
	}
	if r.Memory != "" {
		option("mem=%s", r.Memory)
	}
	option("requeue")
	option("signal=B:USR1@%d", int(r.Warn.Seconds()))
	option("open-mode=append")
	option(`output="%s"`, strings.ReplaceAll(filepath.Join(dir, "logs", "slurm-"), "%", "%%")+"%A_%a.log")
	for _, more := range r.Sbatch {
		line("#SBATCH %s", more)
	}
	line("")
	line("campaign=%s", shell.Quote(dir))
	line(`echo "chunk $SLURM_ARRAY_TASK_ID/%d on $SLURMD_NODENAME, restart count ${SLURM_RESTART_COUNT:-0}"`, chunks)
	for _, module := range r.Modules {
		line("module load %s || exit", module)
	}
	for _, more := range r.Lines {
		line("%s", more)
	}
	line(`if [ ! -e "$campaign/plan.json" ]; then`)
	line(`	echo "node $SLURMD_NODENAME: $campaign/plan.json not found; the campaign must be on a file system that all nodes share" >&2`)
	line("	exit 2")
	line("fi")
	line("# When Slurm warns that the time is ending (USR1), nb201 writes checkpoints and requeues this")
	line("# element.")
	devices := "cpu"
	if r.GPUs.Count > 0 {
		devices = "visible"
	}
	run := []string{"exec", shell.Quote(program), "run", `"$campaign"`, fmt.Sprintf(`--chunk "$SLURM_ARRAY_TASK_ID/%d"`, chunks), "--devices", devices}
	for _, flag := range r.RunFlags {
		run = append(run, shell.Quote(flag))
	}
	line("%s", strings.Join(run, " "))
	return b.String()
}

// formatRanges formats ascending numbers in Slurm's notation: 1-3,5,8-9.
func formatRanges(numbers []int) string {
	var parts []string
	for len(numbers) > 0 {
		n := 1
		for n < len(numbers) && numbers[n] == numbers[0]+n {
			n++
		}
		part := strconv.Itoa(numbers[0])
		if n > 1 {
			part += "-" + strconv.Itoa(numbers[n-1])
		}
		parts = append(parts, part)
		numbers = numbers[n:]
	}
	return strings.Join(parts, ",")
}
