#include "pjrt.h"

// The topology that compiling is for; a process has one.
static void *target;

static void *create(struct pjrt_create_args *args) {
	args->client = target;
	return NULL;
}

static void *first(struct pjrt_number_args *args) {
	args->number = 0;
	return NULL;
}

static void *same(struct pjrt_get_args *args) {
	args->part = args->object;
	return NULL;
}

static void *nothing(struct pjrt_destroy_args *args) {
	(void)args;
	return NULL;
}

void pjrt_without_device(struct pjrt_table *table, void *topology) {
	void **f = table->functions;
	target = topology;
	f[PJRT_CLIENT_CREATE] = (void *)create;
	f[PJRT_CLIENT_DESTROY] = (void *)nothing; // the process's end frees the topology
	f[PJRT_CLIENT_PLATFORM_NAME] = f[PJRT_TOPOLOGY_PLATFORM_NAME];
	f[PJRT_CLIENT_PLATFORM_VERSION] = f[PJRT_TOPOLOGY_PLATFORM_VERSION];
	f[PJRT_CLIENT_PROCESS_INDEX] = (void *)first;
	f[PJRT_CLIENT_ADDRESSABLE_DEVICES] = f[PJRT_TOPOLOGY_DEVICES];
	f[PJRT_DEVICE_GET_DESCRIPTION] = (void *)same;
	f[PJRT_DEVICE_LOCAL_HARDWARE_ID] = (void *)first;
	f[PJRT_LOADED_EXECUTABLE_GET_EXECUTABLE] = (void *)same;
	// The executable that it gives away is destroyed by whoever got it.
	f[PJRT_LOADED_EXECUTABLE_DESTROY] = (void *)nothing;
}
