package ffi

import (
	"fmt"
	"path/filepath"
	"testing"

	"nb201/internal/headertest"
)

// TestHeader compares ffi.h with XLA's own header and with that of PJRT.
func TestHeader(t *testing.T) {
	c := headertest.Compare(t, filepath.Join("testdata", "xla", "ffi", "api", "c_api.h"),
		filepath.Join(headertest.GoXLA(t), "pjrt", "pjrt_c_api.h"), "ffi.h")
	for original, ours := range map[string]string{
		"XLA_FFI_API_MAJOR": "FFI_MAJOR", "XLA_FFI_API_MINOR": "FFI_MINOR",
		"XLA_FFI_DataType_S64": "FFI_S64", "XLA_FFI_DataType_F32": "FFI_F32", "XLA_FFI_AttrType_SCALAR": "FFI_ATTRIBUTE_SCALAR",
		"XLA_FFI_ExecutionStage_EXECUTE": "FFI_STAGE_EXECUTE", "XLA_FFI_Extension_Metadata": "FFI_EXTENSION_METADATA",
		"XLA_FFI_Error_Code_INVALID_ARGUMENT":   "FFI_INVALID_ARGUMENT",
		"XLA_FFI_Error_Code_RESOURCE_EXHAUSTED": "FFI_RESOURCE_EXHAUSTED", "XLA_FFI_Error_Code_INTERNAL": "FFI_INTERNAL",
		"XLA_FFI_HANDLER_TRAITS_COMMAND_BUFFER_COMPATIBLE": "FFI_COMMAND_BUFFER_COMPATIBLE",
		"PJRT_Extension_Type_FFI":                          "PJRT_EXTENSION_FFI",
	} {
		c.Same("(int)"+original, "(int)"+ours)
	}
	for function, place := range map[string]string{
		"XLA_FFI_Error_Create": "FFI_ERROR_CREATE", "XLA_FFI_Error_Destroy": "FFI_ERROR_DESTROY", "XLA_FFI_Stream_Get": "FFI_STREAM_GET",
		"XLA_FFI_ThreadPool_Schedule": "FFI_THREAD_POOL_SCHEDULE", "XLA_FFI_ThreadPool_NumThreads": "FFI_THREAD_POOL_NUM_THREADS",
	} {
		c.Same(fmt.Sprintf("offsetof(XLA_FFI_Api, %s)", function), fmt.Sprintf("offsetof(struct ffi_table, functions[%s])", place))
	}
	for original, ours := range map[string]struct {
		name   string
		fields []string
	}{
		"XLA_FFI_Api_Version":                {"ffi_version", []string{"major=major_version", "minor=minor_version"}},
		"XLA_FFI_Api":                        {"ffi_table", []string{"version=api_version", "internal=internal_api"}},
		"XLA_FFI_Buffer":                     {"ffi_buffer", []string{"type=dtype", "data=data", "rank=rank", "dims=dims"}},
		"XLA_FFI_Args":                       {"ffi_buffers", []string{"size=size", "kinds=types", "buffers=args"}},
		"XLA_FFI_Rets":                       {"ffi_buffers", []string{"size=size", "kinds=types", "buffers=rets"}},
		"XLA_FFI_Attrs":                      {"ffi_attributes", []string{"size=size", "kinds=types", "names=names", "scalars=attrs"}},
		"XLA_FFI_CallFrame":                  {"ffi_frame", []string{"table=api", "context=ctx", "stage=stage", "args=args", "results=rets", "attributes=attrs"}},
		"XLA_FFI_Error_Create_Args":          {"ffi_error_args", []string{"message=message", "code=errc"}},
		"XLA_FFI_Error_Destroy_Args":         {"ffi_error_destroy_args", []string{"error=error"}},
		"XLA_FFI_Stream_Get_Args":            {"ffi_stream_args", []string{"context=ctx", "stream=stream"}},
		"XLA_FFI_ThreadPool_Schedule_Args":   {"ffi_schedule_args", []string{"context=ctx", "task=task", "data=data"}},
		"XLA_FFI_ThreadPool_NumThreads_Args": {"ffi_threads_args", []string{"context=ctx", "threads=num_threads"}},
	} {
		c.Struct(original, ours.name, append(ours.fields, "struct_size=struct_size", "extension_start=extension_start")...)
	}
	c.Struct("XLA_FFI_Scalar", "ffi_scalar", "type=dtype", "value=value")
	c.Struct("XLA_FFI_Metadata", "ffi_metadata", "struct_size=struct_size", "version=api_version", "traits=traits")
	c.Struct("XLA_FFI_Metadata_Extension", "ffi_metadata_extension",
		"struct_size=extension_base.struct_size", "kind=extension_base.type", "next=extension_base.next", "metadata=metadata")
	c.Struct("PJRT_Extension_Base", "pjrt_ffi_extension", "struct_size=struct_size", "kind=type", "next=next")
	// XLA reads or writes the last fields of these by the sizes.
	for original, ours := range map[string]string{
		"XLA_FFI_Buffer": "ffi_buffer", "XLA_FFI_Args": "ffi_buffers", "XLA_FFI_Attrs": "ffi_attributes",
		"XLA_FFI_CallFrame": "ffi_frame", "XLA_FFI_ThreadPool_Schedule_Args": "ffi_schedule_args",
		"XLA_FFI_ThreadPool_NumThreads_Args": "ffi_threads_args", "XLA_FFI_Error_Destroy_Args": "ffi_error_destroy_args",
		"XLA_FFI_Stream_Get_Args": "ffi_stream_args",
	} {
		c.Same(original+"_STRUCT_SIZE", fmt.Sprintf("sizeof(struct %s)", ours))
	}
	c.Check(t)
}
