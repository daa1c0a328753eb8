// The part of the PJRT C API that keeping programs needs: structs and places in the
// table of functions, as in pjrt/pjrt_c_api.h of go-xla, version 0.104. The API only
// ever grows at its ends. TestHeader compares this with the original.

#ifndef NB201_PJRT_H_
#define NB201_PJRT_H_

#include <stddef.h>

struct pjrt_table {
	size_t struct_size;
	void *extension_start;
	struct {
		size_t struct_size;
		void *extension_start;
		int major, minor;
	} version;
	void *functions[57]; // and more
};

// Places in pjrt_table.functions.
enum {
	PJRT_ERROR_DESTROY = 0,
	PJRT_ERROR_MESSAGE = 1,
	PJRT_CLIENT_PLATFORM_NAME = 12,
	PJRT_CLIENT_PLATFORM_VERSION = 14,
	PJRT_CLIENT_ADDRESSABLE_DEVICES = 16,
	PJRT_CLIENT_COMPILE = 20,
	PJRT_DEVICE_DESCRIPTION_KIND = 26,
	PJRT_DEVICE_GET_DESCRIPTION = 29,
	PJRT_EXECUTABLE_DESTROY = 40,
	PJRT_EXECUTABLE_SERIALIZE = 49,
	PJRT_LOADED_EXECUTABLE_GET_EXECUTABLE = 51,
	PJRT_EXECUTABLE_DESERIALIZE_AND_LOAD = 56,
};

// PJRT_Error_Destroy_Args, PJRT_Executable_Destroy_Args.
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
// PJRT_Client_PlatformVersion_Args, PJRT_DeviceDescription_Kind_Args and, with
// devices for characters, PJRT_Client_AddressableDevices_Args. The object owns what
// is returned.
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

// pjrt_open loads the plugin at path and returns its table; NULL when it has none.
struct pjrt_table *pjrt_open(char *path);

// pjrt_call calls the function at a place of a table. It returns a PJRT_Error that the
// caller frees, or NULL.
void *pjrt_call(struct pjrt_table *table, int place, void *args);

// pjrt_delete frees what PJRT_EXECUTABLE_SERIALIZE returned.
void pjrt_delete(struct pjrt_serialize_args *args);

// nb201_compile takes the place of PJRT_Client_Compile. It is in Go.
void *nb201_compile(struct pjrt_compile_args *args);

#endif
