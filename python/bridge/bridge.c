#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bridge.h"

// The process that loaded the library. Go's threads do not exist in a process forked from it, where a
// call of Go would wait forever.
static pid_t loaded;

__attribute__((constructor)) static void remember_process(void) { loaded = getpid(); }

uint32_t nb201_interface(void) { return BRIDGE_INTERFACE; }

int32_t nb201_call(const char *request, size_t length, char **reply, size_t *reply_length) {
	if (getpid() != loaded) {
		*reply = NULL;
		*reply_length = 0;
		return BRIDGE_FORKED;
	}
	return nb201_go_call((char *)request, length, reply, reply_length);
}

void nb201_free(char *reply) { free(reply); }
