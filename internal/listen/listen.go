// Package listen reads the addresses on which servers of this program listen.
package listen

import (
	"errors"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"nb201/internal/usage"
)

// Address completes an address to HOST:PORT. A bare port, 9100 or :9100, stands for 127.0.0.1:PORT.
// Port 0 lets the system choose one. The error is a usage error that names flag.
func Address(flag, address string) (string, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil && !strings.Contains(address, ":") {
		host, port, err = "", address, nil
	}
	if err == nil {
		if n, e := strconv.ParseUint(port, 10, 16); e != nil || n == 0 && port != "0" {
			err = errors.New("the port is not a number from 0 to 65535")
		}
	}
	if err != nil {
		return "", usage.Errorf("%s %q: %w; use HOST:PORT, or :PORT to serve this host only", flag, address, err)
	}
	if host == "" {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port), nil
}

// IsLoopback reports whether only processes of this host reach a listener.
func IsLoopback(l net.Listener) bool {
	address, err := netip.ParseAddrPort(l.Addr().String())
	return err == nil && address.Addr().IsLoopback()
}
