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

// AutotuneCache is XLA's flag for the directory in which it keeps the kernels that it found
// fastest. A value that is not an absolute path is a name, which stands for a directory of
// that name, of the plugin, driver and device, in Options.Directory. Where programs are not
// kept nor is that.
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

// without is a copy of the flags without one of them.
func (f Flags) without(name string) Flags {
	f = maps.Clone(f)
	delete(f, name)
	return f
}
