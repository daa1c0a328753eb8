package resultstest

import (
	"os"
	"testing"

	"nb201/internal/schematest"
)

func TestMain(m *testing.M) {
	checked := schematest.Watch()
	os.Exit(checked(m.Run()))
}
