#include "pjrt.h"

// The topology to compile for; a process has one.
static void *target;

static void *return_target(struct pjrt_create_args *args) {
	args->client = target;
	return NULL;
}

static void *return_zero(struct pjrt_number_args *args) {
	args->number = 0;
	return NULL;
}

static void *return_object(struct pjrt_get_args *args) {
	args->part = args->object;
	return NULL;
}

static void *do_nothing(struct pjrt_destroy_args *args) {
	(void)args;
	return NULL;
}

void pjrt_without_device(struct pjrt_table *table, void *topology) {
	void **f = table->functions;
	target = topology;
	f[PJRT_CLIENT_CREATE] = (void *)return_target;
	f[PJRT_CLIENT_DESTROY] = (void *)do_nothing; // the topology lives as long as the process
	f[PJRT_CLIENT_PLATFORM_NAME] = f[PJRT_TOPOLOGY_PLATFORM_NAME];
	f[PJRT_CLIENT_PLATFORM_VERSION] = f[PJRT_TOPOLOGY_PLATFORM_VERSION];
	f[PJRT_CLIENT_PROCESS_INDEX] = (void *)return_zero;
	f[PJRT_CLIENT_ADDRESSABLE_DEVICES] = f[PJRT_TOPOLOGY_DEVICES];
	f[PJRT_DEVICE_GET_DESCRIPTION] = (void *)return_object;
	f[PJRT_DEVICE_LOCAL_HARDWARE_ID] = (void *)return_zero;
	f[PJRT_LOADED_EXECUTABLE_GET_EXECUTABLE] = (void *)return_object;
	// A loaded executable is its executable, which the caller of the function above destroys.
	f[PJRT_LOADED_EXECUTABLE_DESTROY] = (void *)do_nothing;
}
