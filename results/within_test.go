package results

import (
	"os"
	"path/filepath"
	"testing"
)

func TestCampaignOf(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, dir := range []string{"trained/trials/000004/digits", "planned/logs", "project/trials/first/trials/000000"} {
		if err := os.MkdirAll(dir, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile("planned/plan.json", nil, 0o666); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"trained":                           "",
		"trained/trials":                    "trained",
		"trained/trials/000004/digits/none": "trained",
		"trained/weights/none":              "trained",
		"trained/other":                     "",
		"planned/logs":                      "planned",
		"planned/failed":                    "planned",
		"project/trials/second":             "", // a directory that only has the name of one of a campaign
		"project/trials/first":              "",
		"project/trials/first/trials":       filepath.Join("project", "trials", "first"),
	} {
		if got := CampaignOf(path); got != want {
			t.Errorf("%s is part of %q, want %q", path, got, want)
		}
	}
	t.Chdir("trained/trials/000004")
	if got, want := CampaignOf("."), filepath.Join("..", ".."); got != want {
		t.Errorf("the directory is part of %q, want %q", got, want)
	}
}
