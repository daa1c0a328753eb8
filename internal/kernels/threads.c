#include "calls.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

// destroy_error frees an XLA_FFI_Error.
static void destroy_error(const struct ffi_frame *frame, void *error) {
	struct ffi_error_destroy_args args = {sizeof args, NULL, error};
	((void (*)(struct ffi_error_destroy_args *))frame->table->functions[FFI_ERROR_DESTROY])(&args);
}

// job is a number of work items that threads process one after another. The calling thread takes
// part and never waits for a thread that has not started, so it does not matter how many threads of
// XLA's pool help, or when. The last thread to leave frees the job.
struct job {
	void (*work)(void *of, long item, float *scratch);
	void *of;
	long items;
	size_t scratch; // floats per thread
	atomic_long next, finished;
	atomic_int threads, left;
	pthread_mutex_t mutex;
	pthread_cond_t all_finished;
	float memory[];
};

static void take_part(void *data) {
	struct job *j = data;
	float *scratch = j->memory + (size_t)atomic_fetch_add(&j->threads, 1) * j->scratch;
	for (long item; (item = atomic_fetch_add(&j->next, 1)) < j->items;) {
		j->work(j->of, item, scratch);
		if (atomic_fetch_add(&j->finished, 1) + 1 == j->items) {
			pthread_mutex_lock(&j->mutex);
			pthread_cond_signal(&j->all_finished);
			pthread_mutex_unlock(&j->mutex);
		}
	}
}

static void leave(struct job *j) {
	if (atomic_fetch_sub(&j->left, 1) == 1) {
		pthread_mutex_destroy(&j->mutex);
		pthread_cond_destroy(&j->all_finished);
		free(j);
	}
}

static void help(void *data) {
	take_part(data);
	leave(data);
}

void *ffi_do_all(const struct ffi_frame *frame, void (*work)(void *, long, float *), void *of, long items, size_t scratch) {
	int64_t threads = 1;
	struct ffi_threads_args count = {sizeof count, NULL, frame->context, &threads};
	void *failed = ((void *(*)(struct ffi_threads_args *))frame->table->functions[FFI_THREAD_POOL_NUM_THREADS])(&count);
	if (failed != NULL)
		return failed;
	if (threads > items)
		threads = items;
	if (threads < 1)
		threads = 1;
	struct job *j = calloc(1, sizeof *j + (size_t)threads * scratch * sizeof(float));
	if (j == NULL)
		return ffi_failure(frame, FFI_RESOURCE_EXHAUSTED, "out of memory for the threads of an nb201 kernel");
	j->work = work, j->of = of, j->items = items, j->scratch = scratch;
	j->left = (int)threads;
	pthread_mutex_init(&j->mutex, NULL);
	pthread_cond_init(&j->all_finished, NULL);
	for (int64_t i = 1; i < threads; i++) {
		struct ffi_schedule_args args = {sizeof args, NULL, frame->context, help, j};
		void *refused = ((void *(*)(struct ffi_schedule_args *))frame->table->functions[FFI_THREAD_POOL_SCHEDULE])(&args);
		if (refused != NULL) { // the calling thread does the work instead
			destroy_error(frame, refused);
			leave(j);
		}
	}
	take_part(j);
	pthread_mutex_lock(&j->mutex);
	while (atomic_load(&j->finished) < items)
		pthread_cond_wait(&j->all_finished, &j->mutex);
	pthread_mutex_unlock(&j->mutex);
	leave(j);
	return NULL;
}
