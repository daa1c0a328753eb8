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
// a campaign if it has a plan, or trials by architecture. Of evaluations, it returns the directory
// that contains those on all datasets.
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
		if around, _, ok := evaluationAt(dir); ok {
			return asNamed(filepath.Join(path, up, "..", ".."), around)
		}
		switch name := filepath.Base(dir); {
		case slices.Contains(campaignDirs, name) && isCampaign(parent) && CampaignAt(parent).Kind == Trained,
			name == evaluationsName && (isCampaign(parent) || hasEvaluations(parent)):
			return filepath.Clean(filepath.Join(path, up, ".."))
		}
	}
}

// EvaluationsAround returns the directory with the evaluations on all datasets, and the dataset's key, if
// dir holds those on one of them, and "" if not.
func EvaluationsAround(dir string) (around, key string) {
	around, key, ok := evaluationAt(dir)
	if !ok {
		return "", ""
	}
	return asNamed(filepath.Join(dir, "..", ".."), around), key
}

// evaluationAt reports whether dir holds the evaluations on a dataset. It returns the absolute path of the
// directory with those on all datasets, and the dataset's key. A link to dir may have any name.
func evaluationAt(dir string) (around, key string, ok bool) {
	if _, err := os.Stat(filepath.Join(dir, evaluationPlanName)); err != nil {
		return "", "", false
	}
	absolute, err := filepath.Abs(dir)
	if err != nil {
		return "", "", false
	}
	followed, err := filepath.EvalSymlinks(absolute)
	for _, path := range []string{absolute, followed} { // the directory of all evaluations may itself be a link
		if evaluations := filepath.Dir(path); err == nil && filepath.Base(evaluations) == evaluationsName {
			return filepath.Dir(evaluations), filepath.Base(path), true
		}
	}
	return "", "", false
}

// asNamed returns the path named if it leads to the directory at the absolute path, which it returns
// otherwise: where links are in the way, the parent of a path is not that of the directory.
func asNamed(named, absolute string) string {
	if sameFile(named, absolute) {
		return named
	}
	return absolute
}

// hasEvaluations reports whether dir contains evaluations.
func hasEvaluations(dir string) bool {
	keys, _ := ListEvaluations(dir)
	return len(keys) > 0
}

func isCampaign(dir string) bool {
	if _, err := os.Stat(filepath.Join(dir, "plan.json")); err == nil {
		return true
	}
	entries, err := os.ReadDir(filepath.Join(dir, "trials"))
	return err == nil && slices.ContainsFunc(entries, func(e os.DirEntry) bool { return architectureDir.MatchString(e.Name()) })
}
