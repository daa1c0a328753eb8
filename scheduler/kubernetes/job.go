// Package kubernetes writes the manifest of a Kubernetes Job that trains a campaign ([Job]): an
// Indexed Job, whose pod with index I trains chunk I+1 of N of the plan. The campaign is on a
// volume that all pods mount.
//
// Like Slurm, Kubernetes runs an index at least once, and a pod and its replacement may overlap.
// Package slurm explains why that is harmless.
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

// Job describes an Indexed Job. The cluster's defaults apply when CPUs, Memory or Parallelism has
// the zero value.
type Job struct {
	Version     string // of nb201
	Campaign    string // name of the campaign
	Trials      int
	Image       string   // container image with nb201 and its XLA plugin
	Claim       string   // PersistentVolumeClaim of the volume
	Path        string   // of the campaign, relative to the volume
	Chunks      int      // into which the plan is divided; one pod each
	Parallelism int      // pods that may run at the same time
	GPUs, CPUs  int      // per pod
	Memory      string   // per pod, in Kubernetes' syntax: 16Gi
	RunFlags    []string // more flags for nb201 run
}

// mount is the mount point of the volume in a container.
const mount = "/nb201"

var (
	notName  = regexp.MustCompile(`[^a-z0-9]+`)
	quantity = regexp.MustCompile(`^\d+(\.\d+)?([KMGTPE]i?|k)?$`)
	label    = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$`)
)

// Manifest returns the job as YAML. Its errors are usage errors.
func (j Job) Manifest() (string, error) {
	switch {
	case j.Image == "" || strings.ContainsAny(j.Image, " \t\n"):
		return "", usage.Errorf("--image %q: not a container image; name the image that contains nb201", j.Image)
	case !label.MatchString(j.Claim):
		return "", usage.Errorf("--claim %q: not a valid name; name the PersistentVolumeClaim of the campaign's volume", j.Claim)
	case path.IsAbs(j.Path) || strings.HasPrefix(path.Clean(j.Path), ".."):
		return "", usage.Errorf("--path %q: not inside the volume; use the campaign's path relative to the volume", j.Path)
	case j.Memory != "" && !quantity.MatchString(j.Memory):
		return "", usage.Errorf("--mem %q: not a quantity; use Kubernetes' notation, such as 16Gi", j.Memory)
	}
	const most = 1 << 20 // pods are counted in 32 bits
	for _, n := range []struct {
		flag         string
		value, least int
	}{{"--elements", j.Chunks, 1}, {"--max-running", j.Parallelism, 0}, {"--gpus", j.GPUs, 0}, {"--cpus", j.CPUs, 0}} {
		if n.value < n.least || n.value > most {
			return "", usage.Errorf("%s %d: use a number from %d to %d", n.flag, n.value, n.least, most)
		}
	}
	for _, text := range append([]string{j.Version, j.Campaign, j.Path, j.Image}, j.RunFlags...) {
		if !utf8.ValidString(text) {
			return "", usage.Errorf("%q is not UTF-8, but a manifest must be; rename the campaign or correct the flag", text)
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
	// The library folds lines at the control character NEL, so compare what reads back.
	if got, err := yaml.YAMLToJSON(text); err != nil || !bytes.Equal(got, want) {
		return "", usage.Errorf("campaign %q, path %q: a manifest cannot contain all of these characters; use another name", j.Campaign, j.Path)
	}
	return string(text), nil
}

// object is an object of the Kubernetes API.
type object = map[string]any

// manifest returns the job as an object of batch/v1, as of Kubernetes 1.33.
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
		// Retry a failed pod three times. A failed index does not end the others.
		"backoffLimitPerIndex": 3,
		"maxFailedIndexes":     j.Chunks,
		// Start no second pod of an index while the first one is still writing its checkpoints.
		"podReplacementPolicy": "Failed",
		"podFailurePolicy": object{"rules": []object{
			// A drained or preempted node does not count as a failure.
			{"action": "Ignore", "onPodConditions": []object{{"type": "DisruptionTarget", "status": "True"}}},
			// Wrong usage or input (2) and failed trials (3) would be the same in another pod.
			{"action": "FailIndex", "onExitCodes": object{"containerName": container, "operator": "In", "values": []int{2, 3}}},
		}},
		"template": object{"spec": object{
			"restartPolicy":                 "Never",
			"terminationGracePeriodSeconds": 60, // a run that is stopped exits within 20
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
		"For Kubernetes 1.33 or later. This manifest was NOT run on a Kubernetes cluster; "+
		"it was only checked against the published schema of batch/v1.", j.Version, j.Trials, j.Campaign, j.Chunks)
	return object{
		"apiVersion": "batch/v1",
		"kind":       "Job",
		"metadata":   object{"name": j.Name(), "annotations": object{"kubernetes.io/description": about}},
		"spec":       spec,
	}
}

// Name returns the name of the job.
func (j Job) Name() string {
	base := strings.Trim(notName.ReplaceAllString(strings.ToLower(j.Campaign), "-"), "-")
	return strings.TrimRight(fmt.Sprintf("nb201-%.40s", base), "-")
}

// Command returns the shell command that a container runs. The GPUs of a pod are numbered from 0 in
// its container.
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
