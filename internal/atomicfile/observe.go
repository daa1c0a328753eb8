package atomicfile

import "sync/atomic"

// observer points to what Observe was given; it is nil except in tests.
var observer atomic.Pointer[func(path string, read func() ([]byte, error))]

// Observe calls see, for tests, with the path of each file that a Root is about to give its name,
// and a function that reads its content, until stop is called. see is called from the goroutines
// that write. There is one observer at a time.
func Observe(see func(path string, read func() ([]byte, error))) (stop func()) {
	observer.Store(&see)
	return func() { observer.Store(nil) }
}

// observe shows an observer the file temp, which is about to get its name.
func (r Root) observe(temp, name string) {
	if see := observer.Load(); see != nil {
		(*see)(r.path(name), func() ([]byte, error) { return r.ReadFile(temp) })
	}
}

// Rename gives the file or directory temp the name name and replaces an existing file.
func (r Root) Rename(temp, name string) error {
	r.observe(temp, name)
	return r.Root.Rename(temp, name)
}
