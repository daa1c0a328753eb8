package slurm

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"nb201/internal/usage"
)

// Queued is an array of a campaign in Slurm's queue.
type Queued struct {
	Job      int       `json:"job"`
	Chunks   int       `json:"chunks"` // into which the plan is divided
	Elements []Element `json:"elements"`
}

// Element is an element of an array in the queue.
type Element struct {
	Chunk  int    `json:"chunk"` // from 1
	State  string `json:"state"` // Slurm's name: PENDING, RUNNING, COMPLETING, ...
	Node   string `json:"node,omitempty"`
	Reason string `json:"reason,omitempty"` // why it waits, in Slurm's words
}

// ReadQueue asks Slurm for the arrays of a campaign in the queue, oldest first. On a host without
// Slurm the error wraps [ErrAbsent].
func ReadQueue(ctx context.Context, campaign string) ([]Queued, error) {
	name, err := jobName(campaign)
	if err != nil {
		return nil, err
	}
	arrays, _, err := readQueue(ctx, name)
	return arrays, err
}

// readQueue returns the arrays whose job name begins with name, and the number of jobs of all
// users.
func readQueue(ctx context.Context, name string) (arrays []Queued, jobs int, err error) {
	text, err := runProgram(ctx, "", "squeue", "--noheader", "--array", "--format=%F|%K|%T|%N|%r|%j")
	if err != nil {
		return nil, 0, err
	}
	arrays, jobs = parseQueue(text, name)
	return arrays, jobs, nil
}

// parseQueue parses lines of squeue with job, element, state, node, reason and name.
func parseQueue(text, name string) (arrays []Queued, jobs int) {
	for line := range strings.Lines(text) {
		jobs++
		f := strings.SplitN(strings.TrimSpace(line), "|", 6)
		if len(f) != 6 {
			continue
		}
		chunks, ours := strings.CutPrefix(f[5], name+"-")
		n, err := strconv.Atoi(chunks)
		job, err1 := strconv.Atoi(f[0])
		chunk, err2 := strconv.Atoi(f[1])
		if !ours || err != nil || err1 != nil || err2 != nil || chunk < 1 || chunk > n {
			continue
		}
		i := slices.IndexFunc(arrays, func(a Queued) bool { return a.Job == job })
		if i < 0 {
			i = len(arrays)
			arrays = append(arrays, Queued{Job: job, Chunks: n})
		}
		e := Element{Chunk: chunk, State: f[2], Node: f[3]}
		if f[4] != "None" {
			e.Reason = f[4]
		}
		arrays[i].Elements = append(arrays[i].Elements, e)
	}
	slices.SortFunc(arrays, func(a, b Queued) int { return a.Job - b.Job })
	for _, a := range arrays {
		slices.SortFunc(a.Elements, func(a, b Element) int { return a.Chunk - b.Chunk })
	}
	return arrays, jobs
}

// String formats the array as "array 17 of 20 chunks: 2 running, 16 pending (Resources)".
func (q Queued) String() string {
	counts := map[string]int{}
	reasons := map[string]string{}
	var states []string // in the order of elements
	for _, e := range q.Elements {
		state := strings.ToLower(e.State)
		if counts[state] == 0 {
			states = append(states, state)
			reasons[state] = e.Reason
		}
		counts[state]++
	}
	var parts []string
	for _, state := range states {
		part := fmt.Sprintf("%d %s", counts[state], state)
		if reasons[state] != "" {
			part += " (" + reasons[state] + ")"
		}
		parts = append(parts, part)
	}
	return fmt.Sprintf("array %d of %d chunks: %s", q.Job, q.Chunks, strings.Join(parts, ", "))
}

var unusual = regexp.MustCompile(`[^A-Za-z0-9_.]+`)

// jobName returns the prefix of the job names of a campaign's arrays; the number of chunks follows.
// It depends on the resolved path of the directory, so that the campaign's arrays are found whoever
// submitted them and by whatever path.
func jobName(campaign string) (string, error) {
	path, err := filepath.Abs(campaign)
	if err == nil {
		path, err = filepath.EvalSymlinks(path)
	}
	if err != nil {
		return "", usage.Errorf("cannot find campaign %s: %w", campaign, err)
	}
	sum := sha256.Sum256([]byte(path))
	base := unusual.ReplaceAllString(filepath.Base(path), "_")
	return fmt.Sprintf("nb201-%.20s-%s", base, hex.EncodeToString(sum[:4])), nil
}
