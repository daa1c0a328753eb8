// Command nb201 regenerates the NAS-Bench-201 benchmark: it trains architectures of its search
// space as the original program did, and writes files that the published Python clients open.
//
// This package parses flags, handles signals, prints results and sets exit codes; the work is done
// in the packages that it calls. Each command has its own file, named after it. Start reading at
// newRootCommand in root.go.
package main

import "os"

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }
