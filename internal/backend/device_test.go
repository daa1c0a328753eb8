package backend

import (
	"fmt"
	"strings"
	"testing"
)

func TestVisible(t *testing.T) {
	for devices, want := range map[string]string{
		"0":     "[cuda:0]",
		"3":     "[cuda:0]",
		"2,5,7": "[cuda:0 cuda:1 cuda:2]",
		"GPU-8932f937-d72c-4106-c12f-20bd9faed9f6,1": "[cuda:0 cuda:1]",
		"MIG-1f1f8a3d-5c1c-5a7a-9b1e-2c9f1a3d5c1c":   "[cuda:0]",
		"1, 0":        "[cuda:0 cuda:1]",
		"1,-1,0":      "[cuda:0]",
		"":            "gives no GPU",
		"NoDevFiles":  "gives no GPU",
		"-1":          "gives no GPU",
		"MIG-a,MIG-b": "shows a process one MIG instance",
	} {
		got, err := Visible(devices)
		if text := fmt.Sprint(got); err == nil && text != want || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, %v; want %s", devices, got, err, want)
		}
	}
}
