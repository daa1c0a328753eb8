// Package merged reads single entries of the files that hold all architectures in one
// pickle: NAS-Bench-201's merged checkpoint and NATS-Bench's merged .pickle.pbz2. Such a
// pickle has gigabytes. It is walked over once; where each architecture lies is kept in an
// index in the user's cache directory, and from then on an architecture is read alone. A
// compressed pickle is unpacked into the cache directory, since it cannot be read from
// the middle.
package merged
