#include "pjrt.h"

#include <dlfcn.h>

struct pjrt_table *pjrt_open(char *path) {
	// With the flags that go-xla uses.
	void *library = dlopen(path, RTLD_LAZY | RTLD_LOCAL);
	if (library == NULL)
		return NULL;
	struct pjrt_table *(*get)(void) = (struct pjrt_table * (*)(void)) dlsym(library, "GetPjrtApi");
	return get == NULL ? NULL : get();
}

void *pjrt_call(struct pjrt_table *table, int place, void *args) {
	if (place == PJRT_ERROR_DESTROY || place == PJRT_ERROR_MESSAGE) { // these return nothing
		((void (*)(void *))table->functions[place])(args);
		return NULL;
	}
	return ((void *(*)(void *))table->functions[place])(args);
}

void pjrt_delete(struct pjrt_serialize_args *args) {
	args->serialized_deleter(args->serialized);
}
