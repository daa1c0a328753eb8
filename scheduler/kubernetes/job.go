// Package kubernetes writes the manifest of a Kubernetes Job that works a campaign: an
// Indexed Job, whose pod of index I works chunk I+1 of N of the plan. The campaign lies on
// a volume that all pods mount.
//
// Like Slurm, Kubernetes runs an index at least once, and a pod and its replacement may
// overlap. What makes that harmless is told in package slurm.
package kubernetes

import (
	_ "embed"
	"fmt"
	"path"
	"regexp"
	"strconv"
	"strings"
	"text/template"

	"nb201/internal/shell"
	"nb201/internal/usage"
)

// Job is an Indexed Job. The zero value of CPUs, Memory and Parallelism leaves it to the
// cluster.
type Job struct {
	Version     string // of nb201
	Campaign    string // its name
	Trials      int
	Image       string // of the container; holds nb201 and its XLA plugin
	Claim       string // the PersistentVolumeClaim of the volume
	Path        string // of the campaign in the volume
	Chunks      int    // N
	Parallelism int    // pods at a time
	GPUs, CPUs  int    // of a pod
	Memory      string // of a pod, as Kubernetes reads it: 16Gi
	RunFlags    []string
}

// mount is where the volume is in a container.
const mount = "/nb201"

//go:embed job.yaml
var manifest string

var (
	notName  = regexp.MustCompile(`[^a-z0-9]+`)
	quantity = regexp.MustCompile(`^\d+(\.\d+)?([KMGTPE]i?|k)?$`)
	label    = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$`)
)

// Manifest is the job in YAML. Errors are usage errors.
func (j Job) Manifest() (string, error) {
	switch {
	case j.Image == "" || strings.ContainsAny(j.Image, " \t\n"):
		return "", usage.Errorf("image %q: name the container image that holds nb201", j.Image)
	case !label.MatchString(j.Claim):
		return "", usage.Errorf("claim %q: name the PersistentVolumeClaim of the campaign's volume", j.Claim)
	case path.IsAbs(j.Path) || strings.HasPrefix(path.Clean(j.Path), ".."):
		return "", usage.Errorf("path %q of the campaign is not one in the volume", j.Path)
	case j.Memory != "" && !quantity.MatchString(j.Memory):
		return "", usage.Errorf("memory %q: use a quantity as Kubernetes takes it, such as 16Gi", j.Memory)
	case j.GPUs < 0 || j.CPUs < 0 || j.Parallelism < 0 || j.Chunks < 1:
		return "", usage.Errorf("%d chunks, %d at a time, with %d GPUs and %d CPUs: use none below 0, and a chunk", j.Chunks, j.Parallelism, j.GPUs, j.CPUs)
	}
	t, err := template.New("job").Funcs(template.FuncMap{"quote": strconv.Quote}).Parse(manifest)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	if err := t.Execute(&b, j); err != nil {
		return "", err
	}
	return b.String(), nil
}

// Name is the job's name.
func (j Job) Name() string {
	base := strings.Trim(notName.ReplaceAllString(strings.ToLower(j.Campaign), "-"), "-")
	return strings.TrimRight(fmt.Sprintf("nb201-%.40s", base), "-")
}

// Mount is where the volume is in a container.
func (j Job) Mount() string { return mount }

// Command is what the shell of a container does. Each GPU of a pod is one of its
// container, numbered from 0.
func (j Job) Command() string {
	devices := "cpu"
	if j.GPUs > 0 {
		devices = "cuda:0"
	}
	for i := 1; i < j.GPUs; i++ {
		devices += "," + strconv.Itoa(i)
	}
	command := fmt.Sprintf(`exec nb201 run %s --chunk "$((JOB_COMPLETION_INDEX + 1))/%d" --devices %s`,
		shell.Quote(path.Join(mount, j.Path)), j.Chunks, devices)
	for _, flag := range j.RunFlags {
		command += " " + shell.Quote(flag)
	}
	return command
}
