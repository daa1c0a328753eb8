package devicetest

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// child is the variable that is set in the processes that TestDevices starts.
const child = "NB201_TEST_DEVICES_CHILD"

// A device that cannot be opened fails the test with the reason, and does not skip it.
func TestDevices(t *testing.T) {
	if os.Getenv(child) != "" {
		Open(t)
		return
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		device, gomlxBackend, want string
	}{
		{"", "", "--- PASS"},
		{"cpu", "", "--- PASS"},
		{"gpu", "", `NB201_TEST_DEVICE: unknown device "gpu"; use cpu, cuda or cuda:N`},
		{"cpu:0", "", `unknown device "cpu:0"`},
		{"cuda", "", "cannot open cuda:0, the device of the tests: "},
		{"cuda:1", "xla:/nowhere/cuda.so", "/nowhere/cuda.so, which does not exist"},
	} {
		t.Run("device "+test.device, func(t *testing.T) {
			command := exec.CommandContext(t.Context(), self, "-test.run=^TestDevices$", "-test.v")
			command.Env = append(os.Environ(), child+"=1", device+"="+test.device)
			if strings.HasPrefix(test.device, "cuda") { // no plugin but that of GOMLX_BACKEND
				command.Env = append(command.Env, "NB201_HOME="+t.TempDir(), "PJRT_PLUGIN_LIBRARY_PATH=", "GOMLX_BACKEND="+test.gomlxBackend)
			}
			out, err := command.CombinedOutput()
			if passes := test.want == "--- PASS"; !strings.Contains(string(out), test.want) || (err == nil) != passes || strings.Contains(string(out), "--- SKIP") {
				t.Errorf("%v\n%s\nwant %q", err, out, test.want)
			}
		})
	}
}
