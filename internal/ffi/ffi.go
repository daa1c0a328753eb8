// Package ffi has the C header ffi.h, with which kernels in C are called through XLA's foreign
// function interface. Packages include it with a -I flag; Go does not notice that it has changed, so
// build them with -a then.
package ffi
