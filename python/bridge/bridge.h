// The interface of libnb201, which Python loads. A change that breaks callers raises BRIDGE_INTERFACE.
#include <stddef.h>
#include <stdint.h>

#define BRIDGE_INTERFACE 1

enum {
	BRIDGE_REPLY = 0,  // the reply is the pickle of the answer
	BRIDGE_ERROR = 1,  // the reply is the pickle of {"kind": ..., "text": ...}
	BRIDGE_FORKED = 2, // no reply: the process was forked after it loaded the library
};

// Returns BRIDGE_INTERFACE.
uint32_t nb201_interface(void);

// Answers a request, which is JSON. The caller keeps the request, and frees the reply with nb201_free.
// Threads may call at the same time.
int32_t nb201_call(const char *request, size_t length, char **reply, size_t *reply_length);

// Frees a reply. NULL is allowed.
void nb201_free(char *reply);

// Implemented in Go.
extern int32_t nb201_go_call(char *request, size_t length, char **reply, size_t *reply_length);
