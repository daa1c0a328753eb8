package main

import (
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"nb201/cell"
	"nb201/configs"
	"nb201/scheduler/plan"
)

// The defaults of flags are the published settings.
func TestPublishedDefaults(t *testing.T) {
	p := configs.Published()
	published := map[string]string{
		"parity": string(p.Parity), "timeline": string(p.Timeline), "workers": strconv.Itoa(p.Workers), "precision": string(p.Precision),
		"channels": strconv.Itoa(p.Channels), "cells": strconv.Itoa(p.Cells), "batch": strconv.Itoa(p.Batch),
	}
	found := map[string]int{}
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		for name, want := range published {
			if f := c.Flags().Lookup(name); f != nil {
				found[name]++
				if f.DefValue != want {
					t.Errorf("%s --%s is %s by default, published is %s", c.CommandPath(), name, f.DefValue, want)
				}
			}
		}
		for _, below := range c.Commands() {
			walk(below)
		}
	}
	walk(newRootCommand())
	for name := range published {
		if found[name] < 2 {
			t.Errorf("%d commands have --%s", found[name], name)
		}
	}
}

// A value that a setting cannot have is wrong usage. The error lists the possible values.
func TestWrongSettings(t *testing.T) {
	train := []string{"train", "0", "--dataset", "digits", "--epochs", "1", "--seed", "1", "--out", t.TempDir()}
	plan := []string{"plan", t.TempDir(), "--archs", "0", "--datasets", "digits", "--epochs", "1", "--seeds", "1"}
	for _, args := range [][]string{train, plan} {
		for flag, want := range map[string]string{
			"--precision=FP32":   `nb201: unknown precision "FP32": use one of fp32, tf32, bf16, fp64`,
			"--parity=torch":     `unknown parity profile "torch"; use one of 2019, 1.7, modern`,
			"--timeline=dec2020": `unknown timeline "dec2020": use dec2019 or nov2019`,
			"--workers=-1":       "-1 loader workers: use 0 or more",
			"--batch=0":          "a batch of 0 images: use at least 1",
		} {
			stdout, stderr, code := nb201(append(args, flag)...)
			if code != 2 || stdout != "" || !strings.Contains(stderr, want) {
				t.Errorf("%s %s: exit code %d, %q, want %q", args[0], flag, code, stderr, want)
			}
		}
	}
}

// A plan of the published preset, made without settings, has the published ones.
func TestPlanOfPublished(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "p")
	if _, stderr, code := nb201("plan", dir, "--preset", cell.Topology{}.Preset(), "--datasets", "cifar10", "--archs", "0"); code != 0 {
		t.Fatal(stderr)
	}
	p, err := plan.Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	if want := (plan.Settings{Settings: configs.Published(), Weights: true}); p.Settings != want {
		t.Errorf("the settings are %+v, want %+v", p.Settings, want)
	}
}
