// Package quiet keeps go-xla from logging before the program has begun: without HOME, or
// without /etc/ld.so.conf, its pjrt package reports so on stderr while it is initialised,
// even where no plugin is wanted.
//
// It is a module, whose path comes before github.com, because Go initialises packages in
// the order of their paths as far as their imports allow ("Program initialization" in the
// language's specification). The program's own packages would come too late.
package quiet

import (
	"github.com/go-logr/logr"
	"k8s.io/klog/v2"
)

func init() { klog.SetLogger(logr.Discard()) }

// End has log lines written again. Call it when go-xla is initialised.
func End() { klog.ClearLogger() }
