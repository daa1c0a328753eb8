package listen

import (
	"net"
	"strings"
	"testing"

	"nb201/internal/usage"
)

func TestAddress(t *testing.T) {
	for address, want := range map[string]string{
		":9100": "127.0.0.1:9100", "9100": "127.0.0.1:9100", "0.0.0.0:9100": "0.0.0.0:9100", "[::]:9100": "[::]:9100",
		"[::1]:0": "[::1]:0", "node1:9100": "node1:9100",
	} {
		if got, err := Address("--listen", address); got != want || err != nil {
			t.Errorf("%q is %q (%v), not %q", address, got, err, want)
		}
	}
	for _, address := range []string{"", ":", "node1", "node1:", ":http", ":65536", ":-1", "::1:9100", "a:b:c", "http://node1:9100"} {
		if got, err := Address("--listen", address); !usage.Is(err) || !strings.Contains(err.Error(), "use HOST:PORT, or :PORT") {
			t.Errorf("%q is %q, error %v", address, got, err)
		}
	}
}

func TestIsLoopback(t *testing.T) {
	for address, want := range map[string]bool{"127.0.0.1:0": true, "127.1.2.3:0": true, "[::1]:0": true, "0.0.0.0:0": false, ":0": false} {
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Logf("%s: %v", address, err) // the host has no IPv6
			continue
		}
		if IsLoopback(l) != want {
			t.Errorf("%s is loopback: %v", address, !want)
		}
		l.Close()
	}
}
