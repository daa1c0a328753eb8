#define _GNU_SOURCE
#include <stdlib.h>

#ifdef __GLIBC__

#include <dlfcn.h>
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

// BLOCKS is the most blocks at a time. Others, larger ones and smaller ones are left to malloc.
enum { BLOCKS = 64 };
static const size_t least = (size_t)16 << 20, most = (size_t)16 << 30, huge_page = (size_t)2 << 20, page = 4096;

// block is most bytes of reserved addresses, which get memory when they are first written.
struct block {
	bool used;
	size_t size; // the most that has been asked for, so that at most this much has memory
};

static char *reserved; // the addresses of all blocks, or NULL
static size_t memory;  // of the machine; malloc refuses a larger block
static struct block blocks[BLOCKS];
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

// next are the functions that those below replace: glibc's, or those of a library in LD_PRELOAD.
static struct {
	void (*free)(void *);
	void *(*realloc)(void *, size_t);
} next;

// find_next sets next. C++ libraries free memory before begin runs.
static void find_next(void) {
	*(void **)&next.free = dlsym(RTLD_NEXT, "free");
	*(void **)&next.realloc = dlsym(RTLD_NEXT, "realloc");
}

// begin runs before Go starts its threads, because the settings apply only to heaps made later.
__attribute__((constructor)) static void begin(void) {
	mallopt(M_MMAP_MAX, 0);
	mallopt(M_ARENA_MAX, 1);
	mallopt(M_TRIM_THRESHOLD, -1); // never
	mallopt(M_TOP_PAD, 256 << 20);
	char *all = mmap(NULL, BLOCKS * most + huge_page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (all == MAP_FAILED)
		return;
	all += -(uintptr_t)all % huge_page;
	if (sysconf(_SC_PAGESIZE) == (long)page) // or else huge pages are larger than blocks
		madvise(all, BLOCKS * most, MADV_HUGEPAGE);
	madvise(all, BLOCKS * most, MADV_DONTDUMP); // a dump of the process would take forever
	memory = (size_t)sysconf(_SC_PHYS_PAGES) * (size_t)sysconf(_SC_PAGESIZE);
	reserved = all;
}

// block_of returns the block at p, or NULL if p is glibc's.
static struct block *block_of(const void *p) {
	uintptr_t at = (uintptr_t)p - (uintptr_t)reserved;
	return reserved != NULL && at < BLOCKS * most ? &blocks[at / most] : NULL;
}

// is_better reports whether b suits a size better than a does: it has enough memory and not more than a, or more
// memory if a has not enough.
static bool is_better(const struct block *b, const struct block *a, size_t size) {
	return a->size < size ? b->size > a->size : b->size >= size && b->size < a->size;
}

// take returns a block, or NULL if there is none for the size.
static void *take(size_t size) {
	if (reserved == NULL || size < least || size > most || size > memory)
		return NULL;
	struct block *best = NULL;
	pthread_mutex_lock(&mutex);
	for (struct block *b = blocks; b < blocks + BLOCKS; b++)
		if (!b->used && b->size / 2 <= size && (best == NULL || is_better(b, best, size)))
			best = b;
	if (best != NULL) {
		best->used = true;
		if (best->size < size)
			best->size = size;
	}
	pthread_mutex_unlock(&mutex);
	return best == NULL ? NULL : reserved + (size_t)(best - blocks) * most;
}

int posix_memalign(void **result, size_t alignment, size_t size) {
	if (alignment % sizeof(void *) != 0 || alignment == 0 || (alignment & (alignment - 1)) != 0)
		return EINVAL;
	void *p = alignment <= huge_page ? take(size) : NULL;
	if (p == NULL)
		p = memalign(alignment, size);
	if (p == NULL)
		return ENOMEM;
	*result = p;
	return 0;
}

void free(void *p) {
	struct block *b = block_of(p);
	if (b == NULL) {
		if (next.free == NULL)
			find_next();
		next.free(p);
		return;
	}
	pthread_mutex_lock(&mutex);
	b->used = false;
	pthread_mutex_unlock(&mutex);
}

void *realloc(void *p, size_t size) {
	struct block *b = block_of(p);
	if (b == NULL) {
		if (next.realloc == NULL)
			find_next();
		return next.realloc(p, size);
	}
	void *copy = size == 0 ? NULL : malloc(size);
	if (copy != NULL)
		memcpy(copy, p, size < b->size ? size : b->size);
	if (copy != NULL || size == 0)
		free(p);
	return copy;
}

#endif
