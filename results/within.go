package results

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
)

// campaignDirs lists the directories of a campaign.
var campaignDirs = []string{"trials", "weights", "failed", "running", "logs"}

// architectureDir matches the directory of an architecture in trials.
var architectureDir = regexp.MustCompile(`^\d{6}$`)

// CampaignOf returns the campaign that path is a part of: path is, or is below, one of the
// campaign's directories, and need not exist. It returns "" if there is none. A directory counts as
// a campaign if it has a plan, or trials by architecture.
func CampaignOf(path string) string {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return ""
	}
	for up := "."; ; up = filepath.Join(up, "..") {
		dir := filepath.Join(absolute, up)
		parent := filepath.Dir(dir)
		if parent == dir {
			return ""
		}
		if slices.Contains(campaignDirs, filepath.Base(dir)) && isCampaign(parent) {
			return filepath.Clean(filepath.Join(path, up, ".."))
		}
	}
}

func isCampaign(dir string) bool {
	if _, err := os.Stat(filepath.Join(dir, "plan.json")); err == nil {
		return true
	}
	entries, err := os.ReadDir(filepath.Join(dir, "trials"))
	return err == nil && slices.ContainsFunc(entries, func(e os.DirEntry) bool { return architectureDir.MatchString(e.Name()) })
}
