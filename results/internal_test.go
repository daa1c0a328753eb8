package results

// DecodeRecord exports decodeRecord to the tests of this package.
var DecodeRecord = decodeRecord
