// Package merged reads single architectures from merged files, which hold all architectures in
// one pickle: NAS-Bench-201's merged checkpoint and NATS-Bench's merged .pickle.pbz2.
//
// Such a pickle has gigabytes. [Open] scans it once and stores the position of each architecture
// in an index in the user's cache directory; from then on [File.Decode] reads an architecture
// alone. A compressed pickle cannot be read from the middle, so Open unpacks it into the cache
// directory as well.
package merged
