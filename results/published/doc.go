// Package published opens benchmarks: campaigns, and files in the published formats.
//
// [Open] opens any of them by the names of its files and returns a [benchmark.Benchmark] to
// query. [Recognise] finds out from its contents what a file or directory is. The formats are
// [CampaignFormat], [NASBench201], [Archive], [NATS], [Runs], [Parquet] and [CSV]; package
// export writes the published ones. NASBench201 and one form of NATS are merged files, which
// hold all architectures in one pickle of gigabytes.
//
// A file that cannot be read, or is not what its name promises, is [results.ErrDamaged]; errors
// are usage errors that say what the file is instead, where that is known.
//
// Each format has one source file here: the names of its files, how they are opened, read and
// checked, and how they are recognised under another name. To read a new format, add such a
// file and list it in allReaders. Package merged reads merged files, and clients.go reads the
// values that the Python clients pickle, with package pickled.
package published
