package programs

import (
	"maps"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
)

// Flags are values of XLA's flags (the fields of its DebugOptions) by name, for one
// compilation. Unlike those in XLA_FLAGS they are not read by another user of XLA in this
// process or its children, and XLA reports a name that it does not know as an error rather
// than by ending the process.
type Flags map[string]string

// Fields of xla.CompileOptionsProto and of the entries of its map of flags
// (xla/pjrt/proto/compile_options.proto).
const (
	envOptionOverrides = 7
	entryKey           = 1
	entryValue         = 2
	valueString        = 1
	valueBool          = 2
)

// appendTo adds the flags to a serialised xla.CompileOptionsProto. XLA reads numbers and
// the names of enumerations as strings, but no booleans.
func (f Flags) appendTo(options []byte) []byte {
	for _, name := range slices.Sorted(maps.Keys(f)) {
		var value []byte
		switch text := f[name]; text {
		case "true", "false":
			value = protowire.AppendTag(nil, valueBool, protowire.VarintType)
			value = protowire.AppendVarint(value, protowire.EncodeBool(text == "true"))
		default:
			value = protowire.AppendTag(nil, valueString, protowire.BytesType)
			value = protowire.AppendString(value, text)
		}
		entry := protowire.AppendTag(nil, entryKey, protowire.BytesType)
		entry = protowire.AppendString(entry, name)
		entry = protowire.AppendTag(entry, entryValue, protowire.BytesType)
		entry = protowire.AppendBytes(entry, value)
		options = protowire.AppendTag(slices.Clip(options), envOptionOverrides, protowire.BytesType)
		options = protowire.AppendBytes(options, entry)
	}
	return options
}
