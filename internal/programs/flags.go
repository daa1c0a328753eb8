package programs

import (
	"maps"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
)

// Flags maps names of XLA's flags (the fields of its DebugOptions) to values, for one
// compilation. Unlike flags in XLA_FLAGS, they do not affect other users of XLA in this process
// or its children, and XLA reports an unknown name as an error instead of ending the process.
type Flags map[string]string

// AutotuneCache is XLA's flag for the directory in which it records the kernels that it found
// fastest. A value that is not an absolute path is replaced by a directory in Options.Directory
// whose name consists of the value and a hash of plugin, driver and device. If programs are not
// kept, the flag is left out.
const AutotuneCache = "xla_gpu_per_fusion_autotune_cache_dir"

// Fields of xla.CompileOptionsProto and of the entries of its map of flags
// (xla/pjrt/proto/compile_options.proto).
const (
	envOptionOverrides = 7
	entryKey           = 1
	entryValue         = 2
	valueString        = 1
	valueBool          = 2
)

// appendTo appends the flags to a serialised xla.CompileOptionsProto. XLA parses numbers and the
// names of enumerations from strings, but not booleans.
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

// without returns a copy of the flags without the one named.
func (f Flags) without(name string) Flags {
	f = maps.Clone(f)
	delete(f, name)
	return f
}
