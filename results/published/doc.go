// Package published opens benchmarks: campaigns, and files in the published formats.
//
// [Open] opens any of them by the names of its files and returns a [benchmark.Benchmark] to
// query. [Recognise] finds out from its contents what a file or directory is. The formats are
// [CampaignFormat], [NASBench201], [Archive], [NATS], [Runs], [NASLib], [Parquet] and [CSV]; package
// export writes the published ones. NASBench201 and one form of NATS are merged files, which
// hold all architectures in one pickle of gigabytes.
//
// The error for a damaged file is [results.ErrDamaged]. For a file of another kind, or one with
// the wrong name, the error says what the file is and what to do with it.
//
// Each format has one source file here: the names of its files, how they are opened, read and
// checked, and how they are recognised under another name. To read a new format, add such a
// file and list it in allReaders. Package merged reads merged files, and clients.go reads the
// values that the Python clients pickle, with package pickled.
package published
