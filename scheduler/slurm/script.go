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

// Request is what an array asks of Slurm, for each of its elements, and what it runs. The
// zero value of a field leaves it to the cluster.
type Request struct {
	Partition, Account string
	Time               time.Duration // limit
	Warn               time.Duration // before the limit that an element is warned
	GPUs               GPUs
	CPUs               int
	Memory             string   // as Slurm reads it: 16G
	MaxRunning         int      // elements at a time
	Sbatch             []string // more options of sbatch, as "--qos=long"
	Modules            []string // to load
	Lines              []string // of shell, before the run
	RunFlags           []string // of nb201 run, besides --chunk and --devices
}

// minWarn is the least Request.Warn. A stopped run leaves within 20 seconds.
const minWarn = 30 * time.Second

// GPUs are the GPUs of an element.
type GPUs struct {
	Count int
	Type  string // as the cluster calls it; empty: any
}

var gpusPattern = regexp.MustCompile(`^(?:(?:gres[:/=])?gpu:)?(?:([A-Za-z][\w.-]*):)?(\d{1,3})$`)

// ParseGPUs reads a number of GPUs, with or without their type: 2, a100:2; also as Slurm
// writes such a resource: gpu:2, gpu:a100:2, gres:gpu:a100:2.
func ParseGPUs(text string) (GPUs, error) {
	m := gpusPattern.FindStringSubmatch(text)
	if m == nil {
		return GPUs{}, usage.Errorf("%q GPUs: use a number, or a type and a number, as in 2 or a100:2", text)
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

// ParseTime reads a time as Slurm writes it (MINUTES, MINUTES:SECONDS, HOURS:MINUTES:SECONDS,
// DAYS-HOURS, DAYS-HOURS:MINUTES, DAYS-HOURS:MINUTES:SECONDS) or as other flags take it
// (8h, 90m); zero when it is empty.
func ParseTime(text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	wrong := usage.Errorf("time %q: use a time as Slurm takes it, such as 90 (minutes), 8:00:00 or 2-00:00:00, or as in 8h or 90m", text)
	if d, err := time.ParseDuration(text); err == nil && text != "0" {
		if d <= 0 {
			return 0, wrong
		}
		return d, nil
	}
	units := []time.Duration{time.Minute, time.Second} // of what colons divide
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

// formatTime is a time as Slurm reads it, in whole seconds.
func formatTime(d time.Duration) string {
	s := int64((d + time.Second - 1) / time.Second)
	return fmt.Sprintf("%d-%02d:%02d:%02d", s/86400, s/3600%24, s/60%60, s%60)
}

// check refuses what would make another script than was meant, and times that cannot be.
func (r *Request) check(dir string) error {
	for flag, value := range map[string]string{"partition": r.Partition, "account": r.Account, "mem": r.Memory} {
		if value != "" && !shell.Plain(value) {
			return usage.Errorf("--%s %q is no name that Slurm takes", flag, value)
		}
	}
	for _, module := range r.Modules {
		if !shell.Plain(module) {
			return usage.Errorf("--module %q is no name of a module", module)
		}
	}
	for _, option := range r.Sbatch {
		if !strings.HasPrefix(option, "-") || strings.ContainsAny(option, "\n\r") {
			return usage.Errorf("--sbatch %q: give an option of sbatch, as in --sbatch=--qos=long", option)
		}
	}
	for _, c := range dir {
		if c < ' ' || c == '"' || c == '\\' {
			return usage.Errorf("campaign %q: Slurm cannot take a path with the character %q: rename it", dir, c)
		}
	}
	switch {
	case r.CPUs < 0 || r.MaxRunning < 0:
		return usage.Errorf("--cpus and --max-running must not be negative")
	case r.Warn < minWarn:
		return usage.Errorf("--warn %v: use at least %v, which a run needs to leave checkpoints and Slurm to put it back into the queue", r.Warn, minWarn)
	case r.Time > 0 && r.Time <= r.Warn:
		return usage.Errorf("--time %v is no longer than --warn %v, the warning before its end: no element would come to train", r.Time, r.Warn)
	}
	return nil
}

// script writes the batch script of an array: of elements, which are chunks of so many of
// the campaign at dir. program is nb201, about is what a comment tells of both.
func (r *Request) script(program, dir, name, about string, elements []int, chunks int) string {
	var b strings.Builder
	option := func(format string, args ...any) { fmt.Fprintf(&b, "#SBATCH --"+format+"\n", args...) }
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	array := ranges(elements)
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
	line(`echo "chunk $SLURM_ARRAY_TASK_ID/%d on $SLURMD_NODENAME, begun ${SLURM_RESTART_COUNT:-0} times before"`, chunks)
	for _, module := range r.Modules {
		line("module load %s || exit", module)
	}
	for _, more := range r.Lines {
		line("%s", more)
	}
	line(`if [ ! -e "$campaign/plan.json" ]; then`)
	line(`	echo "$SLURMD_NODENAME sees no campaign $campaign: it must be on a file system that all nodes share" >&2`)
	line("	exit 2")
	line("fi")
	line("# When Slurm warns it of the end of its time (USR1), it leaves checkpoints and puts this")
	line("# element back into the queue.")
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

// ranges lists numbers, ascending, as Slurm does: 1-3,5,8-9.
func ranges(numbers []int) string {
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
