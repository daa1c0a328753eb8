// Command nb201 regenerates the NAS-Bench-201 benchmark: it trains architectures
// of its search space as the original program did and writes what the published
// Python clients open.
//
// This package holds flags, signals, exit codes and printing; one file a command.
package main

import "os"

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }
