#include "crash.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char subject[4096] = "C code", remedy[1024];

// print writes text to stderr. A signal handler must not call anything that allocates.
static void print(const char *text) {
	if (write(STDERR_FILENO, text, strlen(text)) < 0)
		_exit(1);
}

// suspects lists the files that a crash removes, the last one first.
struct suspect {
	const char *path;
	struct suspect *next;
};
static struct suspect *_Atomic suspects;

// report_crash handles a signal: it removes the suspects, prints the sentence and exits.
static void report_crash(int number) {
	for (struct suspect *s = suspects; s != NULL; s = s->next)
		unlink(s->path);
	print("nb201: ");
	print(subject);
	switch (number) {
	case SIGSEGV: print(" crashed (SIGSEGV)"); break;
	case SIGBUS: print(" crashed (SIGBUS: a part of its file is missing or cannot be read)"); break;
	case SIGFPE: print(" crashed (SIGFPE)"); break;
	case SIGILL: print(" crashed (SIGILL: this processor lacks an instruction)"); break;
	default: print(" crashed (SIGABRT)"); break;
	}
	print(remedy);
	print("; GOTRACEBACK=all shows where\n");
	_exit(1);
}

static void install_handler(int number) {
	struct sigaction action = {.sa_handler = report_crash, .sa_flags = SA_ONSTACK};
	sigemptyset(&action.sa_mask);
	sigaction(number, &action, NULL);
}

// install_handlers runs before Go's runtime starts, which keeps the handlers that it finds.
__attribute__((constructor)) static void install_handlers(void) {
	if (getenv("GOTRACEBACK") != NULL)
		return;
	install_handler(SIGSEGV);
	install_handler(SIGBUS);
	install_handler(SIGFPE);
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
	snprintf(subject, sizeof subject, "%s", library);
	snprintf(remedy, sizeof remedy, ": %s", advice);
	install_handler(SIGABRT);
	install_handler(SIGILL);
}
