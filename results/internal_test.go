package results

// DecodeRecord is what only tests of this package may call.
var DecodeRecord = decodeRecord
