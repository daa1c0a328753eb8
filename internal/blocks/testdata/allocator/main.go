// Command allocator allocates memory as C code does, and prints a line for each fault.
package main

/*
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MB = 1 << 20, ALL = 90, THREADS = 4 };

static char *allocated(size_t alignment, size_t size) {
	void *p = NULL;
	if (posix_memalign(&p, alignment, size) != 0 || (size_t)p % alignment != 0)
		printf("%zu bytes, aligned to %zu: at %p\n", size, alignment, p);
	return p;
}

static void check(int is_right, const char *what) {
	if (!is_right)
		printf("not so: %s\n", what);
}

// steps takes turns as a training loop does: a block of a step, and smaller ones that live longer.
static void steps(void) {
	char *first = NULL, *kept[8];
	for (int i = 0; i < 8; i++) {
		char *step = allocated(64, 200 * MB);
		memset(step, i, 200 * MB);
		if (i == 0)
			first = step;
		check(step == first, "a step has the memory of the last one");
		free(step);
		kept[i] = allocated(64, (size_t)(20 + i) * MB);
		memset(kept[i], 1, (size_t)(20 + i) * MB);
	}
	char *half = allocated(64, 100 * MB);
	check(half == first, "a block takes the memory of one of twice its size");
	free(half);
	for (int i = 0; i < 8; i++)
		free(kept[i]);
	check((half = allocated(64, 199 * MB)) == first, "freed blocks of less memory do not suit");
	free(half);
}

// many allocates more blocks than there are, and of different sizes.
static void many(void) {
	char *at[ALL];
	for (int i = 0; i < ALL; i++) {
		at[i] = allocated((size_t)8 << i % 20, (size_t)(i + 1) * MB);
		at[i][0] = at[i][(size_t)(i + 1) * MB - 1] = (char)i;
	}
	for (int i = 0; i < ALL; i++) {
		check(at[i][0] == i && at[i][(size_t)(i + 1) * MB - 1] == i, "blocks are apart");
		free(at[i]);
	}
}

static void resize(void) {
	char *p = allocated(64, 32 * MB);
	memset(p, 7, 32 * MB);
	p = realloc(p, 64 * MB);
	check(p != NULL && p[0] == 7 && p[32 * MB - 1] == 7, "a larger copy has the bytes");
	char *q = allocated(64, 32 * MB);
	memset(q, 8, 32 * MB);
	q = realloc(q, 100);
	check(q != NULL && q[99] == 8 && p[32 * MB - 1] == 7, "a smaller copy has the bytes");
	free(realloc(realloc(NULL, 10), 100 * MB));
	check(realloc(allocated(64, 32 * MB), 0) == NULL, "realloc to nothing frees");
	free(p);
	free(q);
	free(NULL);
}

// compete takes blocks while other threads do, and checks that no other thread writes them.
static void *compete(void *of) {
	int number = (int)(size_t)of;
	for (int i = 0; i < 200; i++) {
		size_t size = (size_t)(16 + (i + number) % 3) * MB;
		char *p = allocated(64, size);
		p[0] = p[size - 1] = (char)number;
		sched_yield();
		check(p[0] == number && p[size - 1] == number, "a block belongs to one thread");
		free(p);
	}
	return NULL;
}

static void threads(void) {
	pthread_t all[THREADS];
	for (size_t i = 0; i < THREADS; i++)
		check(pthread_create(&all[i], NULL, compete, (void *)i) == 0, "a thread starts");
	for (int i = 0; i < THREADS; i++)
		pthread_join(all[i], NULL);
}

static void refuse(void) {
	void *p = NULL;
	check(posix_memalign(&p, 24, 32 * MB) != 0 && posix_memalign(&p, 0, 32 * MB) != 0 && posix_memalign(&p, 4, 32 * MB) != 0,
		"an alignment is a power of 2 and a multiple of a pointer's size");
	check(posix_memalign(&p, 64, (size_t)1 << 60) != 0, "there is not that much memory");
}
*/
import "C"

import (
	"fmt"
	"os"
	"strings"

	_ "nb201/internal/blocks"
)

func main() {
	if len(os.Args) == 1 { // where the process may reserve addresses
		C.steps()
	}
	C.many()
	C.resize()
	C.threads()
	C.refuse()
	C.fflush(C.stdout)
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		fmt.Println(err)
	}
	for line := range strings.Lines(string(status)) {
		if most, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			fmt.Println(strings.TrimSpace(most))
		}
	}
}
