// The part of the PJRT C API that this package calls or replaces: structs, and places in the
// table of functions, as in pjrt/pjrt_c_api.h of go-xla, version 0.104. New versions of the API
// only append to structs and to the table. TestHeader compares this file with the original.

#ifndef NB201_PJRT_H_
#define NB201_PJRT_H_

#include <stddef.h>
#include <stdint.h>

struct pjrt_table {
	size_t struct_size;
	void *extension_start;
	struct {
		size_t struct_size;
		void *extension_start;
		int major, minor;
	} version;
	void *functions[97]; // and more
};

// Places in pjrt_table.functions.
enum {
	PJRT_ERROR_DESTROY = 0,
	PJRT_ERROR_MESSAGE = 1,
	PJRT_CLIENT_CREATE = 10,
	PJRT_CLIENT_DESTROY = 11,
	PJRT_CLIENT_PLATFORM_NAME = 12,
	PJRT_CLIENT_PROCESS_INDEX = 13,
	PJRT_CLIENT_PLATFORM_VERSION = 14,
	PJRT_CLIENT_ADDRESSABLE_DEVICES = 16,
	PJRT_CLIENT_COMPILE = 20,
	PJRT_DEVICE_DESCRIPTION_KIND = 26,
	PJRT_DEVICE_GET_DESCRIPTION = 29,
	PJRT_DEVICE_LOCAL_HARDWARE_ID = 31,
	PJRT_EXECUTABLE_DESTROY = 40,
	PJRT_EXECUTABLE_OPTIMIZED_PROGRAM = 48,
	PJRT_EXECUTABLE_SERIALIZE = 49,
	PJRT_LOADED_EXECUTABLE_DESTROY = 50,
	PJRT_LOADED_EXECUTABLE_GET_EXECUTABLE = 51,
	PJRT_EXECUTABLE_DESERIALIZE_AND_LOAD = 56,
	PJRT_TOPOLOGY_CREATE = 82,
	PJRT_TOPOLOGY_PLATFORM_NAME = 84,
	PJRT_TOPOLOGY_PLATFORM_VERSION = 85,
	PJRT_TOPOLOGY_DEVICES = 86,
	PJRT_COMPILE = 89,
	PJRT_EXECUTABLE_MEMORY = 96,
};

// PJRT_Error_Destroy_Args, PJRT_Executable_Destroy_Args, PJRT_LoadedExecutable_Destroy_Args,
// PJRT_Client_Destroy_Args.
struct pjrt_destroy_args {
	size_t struct_size;
	void *extension_start;
	void *object;
};

// PJRT_LoadedExecutable_GetExecutable_Args, PJRT_Device_GetDescription_Args.
struct pjrt_get_args {
	size_t struct_size;
	void *extension_start;
	void *object;
	void *part; // out
};

// PJRT_Error_Message_Args, PJRT_Client_PlatformName_Args,
// PJRT_Client_PlatformVersion_Args, PJRT_DeviceDescription_Kind_Args,
// PJRT_TopologyDescription_PlatformName_Args,
// PJRT_TopologyDescription_PlatformVersion_Args and, with devices for characters,
// PJRT_Client_AddressableDevices_Args and
// PJRT_TopologyDescription_GetDeviceDescriptions_Args. The object owns the result.
struct pjrt_list_args {
	size_t struct_size;
	void *extension_start;
	void *object;
	void *first; // out
	size_t length; // out
};

// PJRT_Program.
struct pjrt_program {
	size_t struct_size;
	void *extension_start;
	char *code;
	size_t code_size;
	char *format;
	size_t format_size;
};

// PJRT_Client_Compile_Args.
struct pjrt_compile_args {
	size_t struct_size;
	void *extension_start;
	void *client;
	struct pjrt_program *program;
	char *options;
	size_t options_size;
	void *executable; // out
};

// PJRT_Executable_Serialize_Args.
struct pjrt_serialize_args {
	size_t struct_size;
	void *extension_start;
	void *executable;
	char *bytes; // out, owned by serialized
	size_t bytes_size; // out
	void *serialized; // out
	void (*serialized_deleter)(void *serialized); // out
};

// PJRT_Executable_DeserializeAndLoad_Args.
struct pjrt_load_args {
	size_t struct_size;
	void *extension_start;
	void *client;
	char *bytes;
	size_t bytes_size;
	void *executable; // out
	char *options;
	size_t options_size;
};

// PJRT_Client_Create_Args, up to the client.
struct pjrt_create_args {
	size_t struct_size;
	void *extension_start;
	void *options;
	size_t options_size;
	void *callbacks[4];
	void *client; // out
	// and more
};

// PJRT_Client_ProcessIndex_Args, PJRT_Device_LocalHardwareId_Args.
struct pjrt_number_args {
	size_t struct_size;
	void *extension_start;
	void *object;
	int number; // out
};

// PJRT_NamedValue of a string.
struct pjrt_named_string {
	size_t struct_size;
	void *extension_start;
	char *name;
	size_t name_size;
	int type; // 0: a string
	char *value;
	size_t value_size;
};

// PJRT_TopologyDescription_Create_Args.
struct pjrt_topology_args {
	size_t struct_size;
	void *extension_start;
	char *name;
	size_t name_size;
	struct pjrt_named_string *options;
	size_t options_size;
	void *topology; // out
};

// PJRT_Compile_Args.
struct pjrt_compile_for_args {
	size_t struct_size;
	void *extension_start;
	void *topology;
	struct pjrt_program *program;
	char *options;
	size_t options_size;
	void *client;
	void *executable; // out
};

// PJRT_Executable_OptimizedProgram_Args. A call with a NULL code sets its size.
struct pjrt_optimized_args {
	size_t struct_size;
	void *extension_start;
	void *executable;
	struct pjrt_program *program; // out
};

// PJRT_Executable_GetCompiledMemoryStats_Args. All numbers are bytes.
struct pjrt_memory_args {
	size_t struct_size;
	void *extension_start;
	void *executable;
	int64_t code, argument, output, alias, temp;                          // out
	int64_t host_code, host_argument, host_output, host_alias, host_temp; // out
	int64_t peak, total, allocated, indefinite, peak_unpadded;            // out
};

// pjrt_open loads the plugin at path and returns its table, or NULL if it has none.
struct pjrt_table *pjrt_open(char *path);

// pjrt_call calls the function at a place of a table. It returns a PJRT_Error that the
// caller frees, or NULL.
void *pjrt_call(struct pjrt_table *table, int place, void *args);

// pjrt_delete frees what PJRT_EXECUTABLE_SERIALIZE returned.
void pjrt_delete(struct pjrt_serialize_args *args);

// nb201_compile replaces PJRT_Client_Compile, and nb201_create PJRT_Client_Create. They are written in
// Go.
void *nb201_compile(struct pjrt_compile_args *args);
void *nb201_create(struct pjrt_create_args *args);

// pjrt_without_device changes a table so that it compiles for a topology instead of a device. The
// client is then the topology, a device is its description, and a loaded executable is an
// executable, which cannot run.
void pjrt_without_device(struct pjrt_table *table, void *topology);

#endif
