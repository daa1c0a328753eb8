package programs

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"nb201/internal/headertest"
)

// TestHeader compares pjrt.h with go-xla's header.
func TestHeader(t *testing.T) {
	c := headertest.Compare(t, filepath.Join(headertest.GoXLA(t), "pjrt", "pjrt_c_api.h"), "pjrt.h")
	c.Same("PJRT_API_MAJOR", "0")
	c.Same("offsetof(PJRT_Api, struct_size)", "offsetof(struct pjrt_table, struct_size)")
	c.Same("offsetof(PJRT_Api, pjrt_api_version.major_version)", "offsetof(struct pjrt_table, version.major)")
	for name, place := range map[string]string{
		"PJRT_Error_Destroy": "PJRT_ERROR_DESTROY", "PJRT_Error_Message": "PJRT_ERROR_MESSAGE",
		"PJRT_Client_PlatformName": "PJRT_CLIENT_PLATFORM_NAME", "PJRT_Client_PlatformVersion": "PJRT_CLIENT_PLATFORM_VERSION",
		"PJRT_Client_AddressableDevices": "PJRT_CLIENT_ADDRESSABLE_DEVICES", "PJRT_Client_Compile": "PJRT_CLIENT_COMPILE",
		"PJRT_DeviceDescription_Kind": "PJRT_DEVICE_DESCRIPTION_KIND", "PJRT_Device_GetDescription": "PJRT_DEVICE_GET_DESCRIPTION",
		"PJRT_Executable_Destroy": "PJRT_EXECUTABLE_DESTROY", "PJRT_Executable_Serialize": "PJRT_EXECUTABLE_SERIALIZE",
		"PJRT_LoadedExecutable_GetExecutable": "PJRT_LOADED_EXECUTABLE_GET_EXECUTABLE",
		"PJRT_Executable_DeserializeAndLoad":  "PJRT_EXECUTABLE_DESERIALIZE_AND_LOAD",
		"PJRT_Client_Create":                  "PJRT_CLIENT_CREATE", "PJRT_Client_Destroy": "PJRT_CLIENT_DESTROY",
		"PJRT_Client_ProcessIndex": "PJRT_CLIENT_PROCESS_INDEX", "PJRT_Device_LocalHardwareId": "PJRT_DEVICE_LOCAL_HARDWARE_ID",
		"PJRT_Executable_OptimizedProgram": "PJRT_EXECUTABLE_OPTIMIZED_PROGRAM",
		"PJRT_LoadedExecutable_Destroy":    "PJRT_LOADED_EXECUTABLE_DESTROY", "PJRT_Compile": "PJRT_COMPILE",
		"PJRT_TopologyDescription_Create":                "PJRT_TOPOLOGY_CREATE",
		"PJRT_TopologyDescription_PlatformName":          "PJRT_TOPOLOGY_PLATFORM_NAME",
		"PJRT_TopologyDescription_PlatformVersion":       "PJRT_TOPOLOGY_PLATFORM_VERSION",
		"PJRT_TopologyDescription_GetDeviceDescriptions": "PJRT_TOPOLOGY_DEVICES",
		"PJRT_Executable_GetCompiledMemoryStats":         "PJRT_EXECUTABLE_MEMORY",
	} {
		c.Same(fmt.Sprintf("offsetof(PJRT_Api, %s)", name), fmt.Sprintf("offsetof(struct pjrt_table, functions[%s])", place))
	}
	for original, ours := range map[string]string{
		"PJRT_Error_Destroy_Args":                  "pjrt_destroy_args object=error",
		"PJRT_Executable_Destroy_Args":             "pjrt_destroy_args object=executable",
		"PJRT_LoadedExecutable_GetExecutable_Args": "pjrt_get_args object=loaded_executable part=executable",
		"PJRT_Device_GetDescription_Args":          "pjrt_get_args object=device part=device_description",
		"PJRT_Error_Message_Args":                  "pjrt_list_args object=error first=message length=message_size",
		"PJRT_Client_PlatformName_Args":            "pjrt_list_args object=client first=platform_name length=platform_name_size",
		"PJRT_Client_PlatformVersion_Args":         "pjrt_list_args object=client first=platform_version length=platform_version_size",
		"PJRT_DeviceDescription_Kind_Args":         "pjrt_list_args object=device_description first=device_kind length=device_kind_size",
		"PJRT_Client_AddressableDevices_Args":      "pjrt_list_args object=client first=addressable_devices length=num_addressable_devices",
		"PJRT_Program":                             "pjrt_program code=code code_size=code_size format=format format_size=format_size",
		"PJRT_Client_Compile_Args": "pjrt_compile_args client=client program=program options=compile_options " +
			"options_size=compile_options_size executable=executable",
		"PJRT_LoadedExecutable_Destroy_Args":                  "pjrt_destroy_args object=executable",
		"PJRT_Client_Destroy_Args":                            "pjrt_destroy_args object=client",
		"PJRT_TopologyDescription_PlatformName_Args":          "pjrt_list_args object=topology first=platform_name length=platform_name_size",
		"PJRT_TopologyDescription_PlatformVersion_Args":       "pjrt_list_args object=topology first=platform_version length=platform_version_size",
		"PJRT_TopologyDescription_GetDeviceDescriptions_Args": "pjrt_list_args object=topology first=descriptions length=num_descriptions",
		"PJRT_Client_ProcessIndex_Args":                       "~pjrt_number_args object=client number=process_index",
		"PJRT_Client_Create_Args":                             "~pjrt_create_args options=create_options options_size=num_options client=client",
		"PJRT_Device_LocalHardwareId_Args":                    "~pjrt_number_args object=device number=local_hardware_id",
		"PJRT_NamedValue":                                     "pjrt_named_string name=name name_size=name_size type=type value=string_value value_size=value_size",
		"PJRT_TopologyDescription_Create_Args": "pjrt_topology_args name=topology_name name_size=topology_name_size " +
			"options=create_options options_size=num_options topology=topology",
		"PJRT_Compile_Args": "pjrt_compile_for_args topology=topology program=program options=compile_options " +
			"options_size=compile_options_size client=client executable=executable",
		"PJRT_Executable_GetCompiledMemoryStats_Args": "pjrt_memory_args executable=executable argument=argument_size_in_bytes " +
			"output=output_size_in_bytes temp=temp_size_in_bytes peak=peak_memory_in_bytes",
		"PJRT_Executable_OptimizedProgram_Args": "pjrt_optimized_args executable=executable program=program",
		"PJRT_Executable_Serialize_Args": "pjrt_serialize_args executable=executable bytes=serialized_bytes " +
			"bytes_size=serialized_bytes_size serialized=serialized_executable serialized_deleter=serialized_executable_deleter",
		"PJRT_Executable_DeserializeAndLoad_Args": "pjrt_load_args client=client bytes=serialized_executable bytes_size=serialized_executable_size " +
			"executable=loaded_executable options=overridden_serialized_compile_options options_size=overridden_serialized_compile_options_size",
	} {
		name, fields, _ := strings.Cut(ours, " ")
		name, partly := strings.CutPrefix(name, "~") // it ends early, or in padding
		if !partly {
			c.Same(fmt.Sprintf("%s_STRUCT_SIZE", original), fmt.Sprintf("sizeof(struct %s)", name))
		}
		c.Struct(original, name, append(strings.Fields(fields), "struct_size=struct_size", "extension_start=extension_start")...)
	}
	c.Check(t)
}
