// Package serve serves a benchmark over HTTP: the page of package report, kept up to date while a
// campaign runs, a JSON API, and metrics for Prometheus. It changes nothing, and serves nothing but
// what its routes name: no request contains a path of a file.
//
// [Open] opens the benchmark (source.go), and [Server.Serve] answers requests. guard.go decides who
// may ask; page.go, api.go, events.go and metrics.go answer. Meanwhile live.go follows the campaign,
// and makes the page's data again when trials finish (data.go). It takes a small share of the time
// only, because workers may be training on the same cores.
package serve
