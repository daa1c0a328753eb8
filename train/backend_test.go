package train

import (
	"testing"

	"github.com/gomlx/compute"

	"nb201/data"
	"nb201/internal/backend/devicetest"
)

func openBackend(t testing.TB) compute.Backend {
	t.Helper()
	return devicetest.Open(t).Backend
}

// session is one of all tests, so that they compile what they share once.
var session *Session

func openSession(t *testing.T) *Session {
	t.Helper()
	if session == nil {
		session = NewSession(openBackend(t))
	}
	return session
}

// uploaded are the images of a dataset on the device until the test is over.
func uploaded(t *testing.T, set *data.Dataset) *deviceImages {
	t.Helper()
	images, err := upload(openBackend(t), set)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(images.finalize)
	return images
}
