#define _GNU_SOURCE
#include "library.h"

#include <dlfcn.h>
#include <string.h>

char *library_load(const char *path) {
	if (dlopen(path, RTLD_NOW | RTLD_LOCAL) != NULL)
		return NULL;
	return strdup(dlerror());
}

char *library_driver(void) {
	void *library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
	if (library == NULL)
		return NULL;
	void *function = dlsym(library, "cuInit");
	Dl_info info;
	if (function == NULL || dladdr(function, &info) == 0)
		return NULL;
	return strdup(info.dli_fname);
}
