module early.nb201/quiet

go 1.26.5

require (
	github.com/go-logr/logr v1.4.3
	k8s.io/klog/v2 v2.140.0
)
