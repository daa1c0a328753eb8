#include "crash.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char who[4096] = "C code", mend[1024];

// say writes text to stderr; a handler may call nothing that allocates.
static void say(const char *text) {
	if (write(STDERR_FILENO, text, strlen(text)) < 0)
		_exit(1);
}

// suspects are files that a crash removes, the last first.
struct suspect {
	const char *path;
	struct suspect *next;
};
static struct suspect *_Atomic suspects;

static void end(int number) {
	for (struct suspect *s = suspects; s != NULL; s = s->next)
		unlink(s->path);
	say("nb201: ");
	say(who);
	switch (number) {
	case SIGSEGV: say(" crashed (SIGSEGV)"); break;
	case SIGBUS: say(" crashed (SIGBUS: a part of its file is missing or cannot be read)"); break;
	case SIGFPE: say(" crashed (SIGFPE)"); break;
	case SIGILL: say(" crashed (SIGILL: this processor lacks an instruction)"); break;
	default: say(" crashed (SIGABRT)"); break;
	}
	say(mend);
	say("; GOTRACEBACK=all shows where\n");
	_exit(1);
}

static void take(int number) {
	struct sigaction action = {.sa_handler = end, .sa_flags = SA_ONSTACK};
	sigemptyset(&action.sa_mask);
	sigaction(number, &action, NULL);
}

// Before Go's runtime begins, which keeps the handlers that it finds.
__attribute__((constructor)) static void begin(void) {
	if (getenv("GOTRACEBACK") != NULL)
		return;
	take(SIGSEGV);
	take(SIGBUS);
	take(SIGFPE);
}

void crash_suspect(const char *path) {
	struct suspect *s = malloc(sizeof *s);
	if (s == NULL)
		return;
	s->path = path;
	s->next = suspects;
	while (!atomic_compare_exchange_weak(&suspects, &s->next, s))
		;
}

void crash_watch(const char *library, const char *advice) {
	if (getenv("GOTRACEBACK") != NULL)
		return;
	snprintf(who, sizeof who, "%s", library);
	snprintf(mend, sizeof mend, ": %s", advice);
	take(SIGABRT);
	take(SIGILL);
}
