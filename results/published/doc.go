// Package published opens benchmarks: campaigns, and files of the published formats.
//
// A format is one file of this package: the names of its files, how they are opened, read
// and checked, and how one is recognised under another name. allReaders lists the formats;
// to read a new one, add its file and its line there. Package export writes the formats.
//
// A merged file holds all architectures in one pickle of gigabytes (package merged). The
// values of the Python clients are read in clients.go, by means of package pickled.
package published
