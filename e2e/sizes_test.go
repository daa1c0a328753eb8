package e2e

import (
	"path/filepath"
	"testing"

	"nb201/internal/backend/devicetest"
	"nb201/internal/needs"
	"nb201/results"
)

// TestSizesKilled trains architectures of the size search space with nb201 train and in a campaign, undisturbed
// and killed at several moments: the records and the weights are equal but for times and attempts.
func TestSizesKilled(t *testing.T) {
	needs.Long(t, "trains eight trials, and each of them again with interruptions")
	devicetest.CPUOnly(t, "only there are trials reproducible to the bit")
	dir := t.TempDir()
	nb201 := program(t, dir)

	train := func(out string) []string {
		return []string{"train", "8:24:8:16:40", "--dataset", "digits", "--epochs", "6", "--seed", "777", "--batch", "64", "--out", out}
	}
	alone, aloneKilled := filepath.Join(dir, "alone"), filepath.Join(dir, "alone-killed")
	finish(t, nb201, train(alone)...)
	killed := untilDone(t, nb201, train(aloneKilled)...)
	if records := checkEqual(t, alone, aloneKilled); len(records) != 1 || killed == 0 {
		t.Fatalf("%d records, after %d kills", len(records), killed)
	}

	const archs = "0,8:24:8:16:40,16:8:8:8:8"
	whole, disturbed := filepath.Join(dir, "whole"), filepath.Join(dir, "disturbed")
	for _, campaign := range []string{whole, disturbed} {
		finish(t, nb201, "plan", campaign, "--archs", archs, "--datasets", "digits", "--epochs", "1,6", "--seeds", "777", "--batch", "64")
	}
	finish(t, nb201, "run", whole)
	killed += untilDone(t, nb201, "run", disturbed, "--max-attempts", "1000", "--checkpoint-every", "1ms")
	if records := checkEqual(t, whole, disturbed); len(records) != 6 {
		t.Fatalf("%d records", len(records))
	}
	t.Logf("%d kills", killed)
	trial := results.Trial{Space: "sss", Arch: 1036, Dataset: "digits", Epochs: 6, Seed: 777}
	checkAlike(t, "in a campaign", readRecord(t, disturbed, trial), readRecord(t, alone, trial))
	finish(t, nb201, "verify", disturbed, "--reevaluate")
}
