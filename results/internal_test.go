package results

// What only tests of this package may call.
var (
	DecodeRecord = decodeRecord
	OpenParquet  = openParquet
	OpenCSV      = openCSV
)
