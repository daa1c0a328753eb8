//go:build !linux

package backend

func tuneMalloc() {}
