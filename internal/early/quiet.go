// Package quiet prevents go-xla from logging before main starts: without HOME, or without
// /etc/ld.so.conf, its pjrt package reports so on stderr when it is initialised, even if no
// plugin is needed.
//
// It is a separate module with a path that sorts before github.com, because Go initialises
// packages in order of their paths as far as their imports allow (see "Program
// initialization" in the language specification). The program's own packages would be
// initialised too late.
package quiet

import (
	"github.com/go-logr/logr"
	"k8s.io/klog/v2"
)

func init() { klog.SetLogger(logr.Discard()) }

// End makes klog write log lines again. Call it once go-xla is initialised.
func End() { klog.ClearLogger() }
