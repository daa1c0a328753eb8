// Package kubernetes writes the manifest of a Kubernetes Job that works a campaign: an
// Indexed Job, whose pod of index I works chunk I+1 of N of the plan. The campaign lies on
// a volume that all pods mount.
//
// Like Slurm, Kubernetes runs an index at least once, and a pod and its replacement may
// overlap. What makes that harmless is told in package slurm.
package kubernetes

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"sigs.k8s.io/yaml"

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
	const most = 1 << 20 // of each; pods are counted in 32 bits
	if max(j.GPUs, j.CPUs, j.Parallelism, j.Chunks) > most {
		return "", usage.Errorf("%d chunks, %d at a time, with %d GPUs and %d CPUs: use at most %d of each", j.Chunks, j.Parallelism, j.GPUs, j.CPUs, most)
	}
	for _, text := range append([]string{j.Version, j.Campaign, j.Path, j.Image}, j.RunFlags...) {
		if !utf8.ValidString(text) {
			return "", usage.Errorf("%q is not UTF-8, which a manifest is", text)
		}
	}
	want, err := json.Marshal(j.manifest())
	if err != nil {
		return "", err
	}
	text, err := yaml.JSONToYAML(want)
	if err != nil {
		return "", err
	}
	// The library folds lines at the control character NEL.
	if got, err := yaml.YAMLToJSON(text); err != nil || !bytes.Equal(got, want) {
		return "", usage.Errorf("campaign %q, path %q: a manifest cannot hold all of these characters: use another name", j.Campaign, j.Path)
	}
	return string(text), nil
}

// object is one of the API's.
type object = map[string]any

// manifest is the job as batch/v1 of Kubernetes 1.33 has it.
func (j Job) manifest() object {
	const container, volume = "nb201", "campaigns"
	limits := object{"nvidia.com/gpu": j.GPUs}
	if j.CPUs > 0 {
		limits["cpu"] = j.CPUs
	}
	if j.Memory != "" {
		limits["memory"] = j.Memory
	}
	spec := object{
		"completionMode": "Indexed",
		"completions":    j.Chunks,
		// A pod that failed is tried again, three times; one index does not end the others.
		"backoffLimitPerIndex": 3,
		"maxFailedIndexes":     j.Chunks,
		// No second pod of an index while the first one is still leaving its checkpoints.
		"podReplacementPolicy": "Failed",
		"podFailurePolicy": object{"rules": []object{
			// A drained or preempted node is no failure.
			{"action": "Ignore", "onPodConditions": []object{{"type": "DisruptionTarget", "status": "True"}}},
			// Wrong usage or input (2), and trials that are set aside (3), are the same in another pod.
			{"action": "FailIndex", "onExitCodes": object{"containerName": container, "operator": "In", "values": []int{2, 3}}},
		}},
		"template": object{"spec": object{
			"restartPolicy":                 "Never",
			"terminationGracePeriodSeconds": 60, // a stopped run leaves within 20
			"containers": []object{{
				"name":         container,
				"image":        j.Image,
				"command":      []string{"/bin/sh", "-c"},
				"args":         []string{j.Command()},
				"resources":    object{"limits": limits},
				"volumeMounts": []object{{"name": volume, "mountPath": mount}},
			}},
			"volumes": []object{{"name": volume, "persistentVolumeClaim": object{"claimName": j.Claim}}},
		}},
	}
	if j.Parallelism > 0 {
		spec["parallelism"] = j.Parallelism
	}
	about := fmt.Sprintf("Made by nb201 slurm --kubernetes (%s): %d trials of %s, in %d chunks. "+
		"This was NOT run on a Kubernetes cluster: it was checked against the published schema of batch/v1 alone. "+
		"It is for Kubernetes 1.33 or later.", j.Version, j.Trials, j.Campaign, j.Chunks)
	return object{
		"apiVersion": "batch/v1",
		"kind":       "Job",
		"metadata":   object{"name": j.Name(), "annotations": object{"kubernetes.io/description": about}},
		"spec":       spec,
	}
}

// Name is the job's name.
func (j Job) Name() string {
	base := strings.Trim(notName.ReplaceAllString(strings.ToLower(j.Campaign), "-"), "-")
	return strings.TrimRight(fmt.Sprintf("nb201-%.40s", base), "-")
}

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
