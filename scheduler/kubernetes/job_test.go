package kubernetes

import (
	"os/exec"
	"slices"
	"strings"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"nb201/internal/usage"
)

func example() Job {
	return Job{
		Version: "test", Campaign: "My Campaign_1", Trials: 40, Image: "nb201:1", Claim: "campaigns", Path: "user/My Campaign_1",
		Chunks: 20, Parallelism: 8, GPUs: 2, CPUs: 4, Memory: "16Gi", RunFlags: []string{"--data", `/nb201/it's "here"`},
	}
}

// TestManifest decodes the manifest as strictly as the API server: a field that the published
// schema lacks, or one of another type, is an error.
func TestManifest(t *testing.T) {
	text, err := example().Manifest()
	if err != nil {
		t.Fatal(err)
	}
	var job batchv1.Job
	if err := yaml.UnmarshalStrict([]byte(text), &job); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	for _, words := range []string{"40 trials of My Campaign_1", "NOT run on a Kubernetes cluster"} {
		if !strings.Contains(job.Annotations["kubernetes.io/description"], words) {
			t.Errorf("no %q in\n%s", words, text)
		}
	}
	s, pod := job.Spec, job.Spec.Template.Spec
	if job.APIVersion != batchv1.SchemeGroupVersion.String() || job.Kind != "Job" || job.Name != "nb201-my-campaign-1" {
		t.Errorf("%s %s %s", job.APIVersion, job.Kind, job.Name)
	}
	if *s.CompletionMode != batchv1.IndexedCompletion || *s.Completions != 20 || *s.Parallelism != 8 ||
		*s.BackoffLimitPerIndex != 3 || *s.MaxFailedIndexes != 20 || *s.PodReplacementPolicy != batchv1.Failed {
		t.Errorf("spec %+v", s)
	}
	rules := s.PodFailurePolicy.Rules
	if len(rules) != 2 || rules[0].Action != batchv1.PodFailurePolicyActionIgnore || rules[0].OnPodConditions[0].Type != corev1.DisruptionTarget ||
		rules[0].OnPodConditions[0].Status != corev1.ConditionTrue ||
		rules[1].Action != batchv1.PodFailurePolicyActionFailIndex || rules[1].OnExitCodes.Operator != batchv1.PodFailurePolicyOnExitCodesOpIn ||
		!slices.Equal(rules[1].OnExitCodes.Values, []int32{2, 3}) || *rules[1].OnExitCodes.ContainerName != pod.Containers[0].Name {
		t.Errorf("rules %+v", rules)
	}
	// Kubernetes requires this of a job with a podFailurePolicy.
	if pod.RestartPolicy != corev1.RestartPolicyNever || *pod.TerminationGracePeriodSeconds < 20 {
		t.Errorf("pod %+v", pod)
	}
	c := pod.Containers[0]
	gpus := c.Resources.Limits["nvidia.com/gpu"]
	memory := c.Resources.Limits[corev1.ResourceMemory]
	if gpus.Value() != 2 || c.Resources.Limits.Cpu().Value() != 4 || memory.Value() != 16<<30 || c.Image != "nb201:1" {
		t.Errorf("container %+v", c)
	}
	claim := pod.Volumes[0].PersistentVolumeClaim
	if claim.ClaimName != "campaigns" || pod.Volumes[0].Name != c.VolumeMounts[0].Name || c.VolumeMounts[0].MountPath != "/nb201" {
		t.Errorf("volumes %+v, mounts %+v", pod.Volumes, c.VolumeMounts)
	}
	// Run the container's command with a program that prints its arguments.
	script := "nb201() { printf '<%s>' \"$@\"; }; " + strings.Replace(c.Args[0], "exec ", "", 1)
	shell := exec.Command(c.Command[0], append(c.Command[1:], script)...)
	shell.Env = []string{"JOB_COMPLETION_INDEX=19"}
	out, err := shell.CombinedOutput()
	if want := `<run></nb201/user/My Campaign_1><--chunk><20/20><--devices><cuda:0,1><--data></nb201/it's "here">`; err != nil || string(out) != want {
		t.Errorf("%v, %s\nwant %s", err, out, want)
	}
}

func TestLeast(t *testing.T) {
	text, err := Job{Image: "i", Claim: "c", Chunks: 1}.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	var job batchv1.Job
	if err := yaml.UnmarshalStrict([]byte(text), &job); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	c := job.Spec.Template.Spec.Containers[0]
	if job.Name != "nb201" || job.Spec.Parallelism != nil || !strings.HasSuffix(c.Args[0], "/1\" --devices cpu") {
		t.Errorf("%s", text)
	}
	gpus := c.Resources.Limits["nvidia.com/gpu"]
	if len(c.Resources.Limits) != 1 || gpus.Value() != 0 {
		t.Errorf("limits %v", c.Resources.Limits)
	}
}

func TestWrongJob(t *testing.T) {
	for want, change := range map[string]func(*Job){
		`--image "a b": not a container image`:                                func(j *Job) { j.Image = "a b" },
		`--claim "A claim": not a valid name; name the PersistentVolumeClaim`: func(j *Job) { j.Claim = "A claim" },
		`--path "/campaign": not inside the volume`:                           func(j *Job) { j.Path = "/campaign" },
		`"../c": not inside the volume`:                                       func(j *Job) { j.Path = "../c" },
		`--mem "16 G": not a quantity`:                                        func(j *Job) { j.Memory = "16 G" },
		"--cpus -1: use a number from 0 to 1048576":                           func(j *Job) { j.CPUs = -1 },
		"--gpus 1048577: use a number from 0 to 1048576":                      func(j *Job) { j.GPUs = 1<<20 + 1 },
		"--elements 0: use a number from 1 to 1048576":                        func(j *Job) { j.Chunks = 0 },
		"--max-running -1: use":                                               func(j *Job) { j.Parallelism = -1 },
	} {
		j := example()
		change(&j)
		if text, err := j.Manifest(); !usage.Is(err) || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %s\n%s", j, err, want, text)
		}
	}
}

// A name with special characters cannot add keys to the manifest.
func TestHostileNames(t *testing.T) {
	for _, name := range []string{
		"k\napiVersion: v1\nkind: Pod", "nl\nid: x", "a: b # c", `"'{{.Image}}'"`, "- &x *x !!str ~ | >", "%YAML 1.1\n---\n...", "\u2028\x1b\t\r", "yes", "0x1f", "画像",
	} {
		j := example()
		j.Campaign, j.Path, j.Version, j.RunFlags = name, name, name, []string{name}
		text, err := j.Manifest()
		if err != nil {
			t.Fatal(err)
		}
		var job batchv1.Job
		if err := yaml.UnmarshalStrict([]byte(text), &job); err != nil {
			t.Fatalf("%q: %v in\n%s", name, err, text)
		}
		plain, err := example().Manifest()
		if err != nil {
			t.Fatal(err)
		}
		keys := func(text string) (keys []string) {
			for line := range strings.Lines(text) {
				if key, _, ok := strings.Cut(line, ":"); ok && len(key) > 0 && key[0] != ' ' {
					keys = append(keys, key)
				}
			}
			return keys
		}
		if !slices.Equal(keys(text), keys(plain)) || job.Kind != "Job" || !strings.Contains(job.Annotations["kubernetes.io/description"], " of "+name+", in 20 chunks") {
			t.Errorf("%q: %s", name, text)
		}
		script := "nb201() { printf '<%s>' \"$@\"; }; " + strings.Replace(job.Spec.Template.Spec.Containers[0].Args[0], "exec ", "", 1)
		shell := exec.Command("/bin/sh", "-c", script)
		shell.Env = []string{"JOB_COMPLETION_INDEX=0"}
		out, err := shell.CombinedOutput()
		if want := "<run></nb201/" + name + "><--chunk><1/20><--devices><cuda:0,1><" + name + ">"; err != nil || string(out) != want {
			t.Errorf("%v, %q\nwant %q", err, out, want)
		}
	}
	for path, says := range map[string]string{"not \xff UTF-8": "is not UTF-8, but a manifest must be", "next\u0085line": "cannot contain all of these characters"} {
		j := example()
		j.Path = path
		if _, err := j.Manifest(); !usage.Is(err) || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v", path, err)
		}
	}
}
