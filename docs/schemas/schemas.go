// Package schemas holds JSON Schemas (draft 2020-12) of the JSON files that nb201 writes and that
// users read: docs/formats.md describes the files.
//
// KIND.schema.json has the $id urn:nb201:KIND:VERSION. A schema is strict, that is it refuses unknown
// keys, where nb201 refuses them when it reads the file.
package schemas

import "embed"

// Files holds the schemas, KIND.schema.json.
//
//go:embed *.schema.json
var Files embed.FS
