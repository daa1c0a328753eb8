package main

import (
	"testing"

	"nb201/internal/schematest"
)

func TestMain(m *testing.M) { schematest.Main(m) }
