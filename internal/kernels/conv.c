#include "conv.h"

#include <string.h>

static bool is_padded(const struct conv *c) { return c->taps > 1 || c->in_step > 1; }

// seen_rows and seen_cols return the size of the part of a padded image that the outputs depend on.
static long seen_rows(const struct conv *c) { return (c->rows - 1) * c->out_step + c->taps; }
static long seen_cols(const struct conv *c) { return (c->cols - 1) * c->out_step + c->taps; }

size_t conv_scratch(const struct conv *c) {
	return is_padded(c) ? (size_t)(seen_rows(c) * seen_cols(c) * c->in) : 0;
}

#ifdef __x86_64__

#include <immintrin.h>

// The functions below use AVX2's 16 registers of 8 floats. 12 of them hold sums: of 6 pixels (or
// weights) for the two halves of a block of output channels.
#define AVX2 __attribute__((target("avx2,fma")))
#define INLINED static inline __attribute__((always_inline)) AVX2
enum { LANES = 8, AT_ONCE = 6, ROWS_AT_ONCE = 8 };

bool conv_can(void) {
	__builtin_cpu_init();
	return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

// pad returns an image with its padding, and sets row to the number of floats in a row: a copy of the
// image within the zeros of scratch, or the image itself if it needs no padding.
static const float *pad(const struct conv *c, const float *image, float *scratch, long *row) {
	if (!is_padded(c)) {
		*row = c->in_cols * c->in;
		return image;
	}
	long rows = seen_rows(c), cols = seen_cols(c), start = c->taps / 2;
	*row = cols * c->in;
	long within = (cols - start - 1) / c->in_step + 1; // pixels of a row that the outputs depend on
	if (within > c->in_cols)
		within = c->in_cols;
	for (long i = 0; i < c->in_rows && start + i * c->in_step < rows; i++) {
		const float *from = image + i * c->in_cols * c->in;
		float *to = scratch + ((start + i * c->in_step) * cols + start) * c->in;
		if (c->in_step == 1) {
			memcpy(to, from, sizeof(float) * (size_t)(within * c->in));
			continue;
		}
		for (long j = 0; j < within; j++)
			memcpy(to + j * c->in_step * c->in, from + j * c->in, sizeof(float) * (size_t)c->in);
	}
	return scratch;
}

// pixels computes a block of output channels for n neighbouring pixels. In each of taps rows, a pixel
// depends on one contiguous piece of memory of wide floats, which begins at x for the first pixel and
// step floats later for each following one.
INLINED void pixels(int n, const float *x, long step, long row, const float *w, long taps, long wide, long out, float *y) {
	__m256 low[AT_ONCE], high[AT_ONCE];
#pragma GCC unroll 6
	for (int p = 0; p < n; p++)
		low[p] = high[p] = _mm256_setzero_ps();
	for (long a = 0; a < taps; a++, x += row)
		for (long k = 0; k < wide; k++, w += out) {
			__m256 w_low = _mm256_loadu_ps(w), w_high = _mm256_loadu_ps(w + LANES);
#pragma GCC unroll 6
			for (int p = 0; p < n; p++) {
				__m256 value = _mm256_broadcast_ss(x + p * step + k);
				low[p] = _mm256_fmadd_ps(value, w_low, low[p]);
				high[p] = _mm256_fmadd_ps(value, w_high, high[p]);
			}
		}
#pragma GCC unroll 6
	for (int p = 0; p < n; p++, y += out) {
		_mm256_storeu_ps(y, low[p]);
		_mm256_storeu_ps(y + LANES, high[p]);
	}
}

// weights adds to the gradients of n weights that are neighbours in memory, for a block of output
// channels, the sums over rows x cols pixels. Neighbouring pixels of x are step floats apart.
INLINED void weights(int n, const float *x, long step, long row, const float *dy, long rows, long cols, long out, float *dw) {
	__m256 low[AT_ONCE], high[AT_ONCE];
#pragma GCC unroll 6
	for (int k = 0; k < n; k++) {
		low[k] = _mm256_loadu_ps(dw + k * out);
		high[k] = _mm256_loadu_ps(dw + k * out + LANES);
	}
	for (long i = 0; i < rows; i++) {
		const float *at = x + i * row;
		for (long j = 0; j < cols; j++, at += step, dy += out) {
			__m256 dy_low = _mm256_loadu_ps(dy), dy_high = _mm256_loadu_ps(dy + LANES);
#pragma GCC unroll 6
			for (int k = 0; k < n; k++) {
				__m256 value = _mm256_broadcast_ss(at + k);
				low[k] = _mm256_fmadd_ps(value, dy_low, low[k]);
				high[k] = _mm256_fmadd_ps(value, dy_high, high[k]);
			}
		}
	}
#pragma GCC unroll 6
	for (int k = 0; k < n; k++) {
		_mm256_storeu_ps(dw + k * out, low[k]);
		_mm256_storeu_ps(dw + k * out + LANES, high[k]);
	}
}

// ONE_OF calls a function with its first argument as a constant from 1 to AT_ONCE, so that the
// compiler unrolls its loops.
#define ONE_OF(n, function, ...) \
	switch (n) { \
	case 1: function(1, __VA_ARGS__); break; \
	case 2: function(2, __VA_ARGS__); break; \
	case 3: function(3, __VA_ARGS__); break; \
	case 4: function(4, __VA_ARGS__); break; \
	case 5: function(5, __VA_ARGS__); break; \
	default: function(6, __VA_ARGS__); break; \
	}

// at_once returns how many of the left pixels or weights to process next: as many as the registers
// hold, but fewer if only one or two would remain after that.
static int at_once(long left) {
	if (left == AT_ONCE + 1 || left == AT_ONCE + 2)
		return 4;
	return left < AT_ONCE ? (int)left : AT_ONCE;
}

AVX2 void conv_forward(const struct conv *c, const float *x, const float *w, float *y, long image, float *scratch) {
	long row, step = c->out_step * c->in;
	x = pad(c, x + image * c->in_rows * c->in_cols * c->in, scratch, &row);
	y += image * c->rows * c->cols * c->out;
	for (long i = 0; i < c->rows; i++)
		for (long block = 0; block < c->out; block += CONV_BLOCK) {
			int n;
			for (long j = 0; j < c->cols; j += n) {
				n = at_once(c->cols - j);
				const float *from = x + i * c->out_step * row + j * step;
				float *made = y + (i * c->cols + j) * c->out + block;
				ONE_OF(n, pixels, from, step, row, w + block, c->taps, c->taps * c->in, c->out, made)
			}
		}
}

AVX2 void conv_weights(const struct conv *c, const float *x, const float *dy, float *dw, long image, float *scratch) {
	long row, step = c->out_step * c->in, wide = c->taps * c->in;
	x = pad(c, x + image * c->in_rows * c->in_cols * c->in, scratch, &row);
	dy += image * c->rows * c->cols * c->out;
	for (long i = 0; i < c->rows; i += ROWS_AT_ONCE) { // these rows stay in the cache
		long rows = c->rows - i < ROWS_AT_ONCE ? c->rows - i : ROWS_AT_ONCE;
		for (long block = 0; block < c->out; block += CONV_BLOCK)
			for (long a = 0; a < c->taps; a++) {
				int n;
				for (long k = 0; k < wide; k += n) {
					n = at_once(wide - k);
					const float *from = x + (i * c->out_step + a) * row + k;
					float *made = dw + (a * wide + k) * c->out + block;
					ONE_OF(n, weights, from, step, c->out_step * row, dy + i * c->cols * c->out + block, rows, c->cols, c->out, made)
				}
			}
	}
}

#else

bool conv_can(void) { return false; }
void conv_forward(const struct conv *c, const float *x, const float *w, float *y, long image, float *scratch) {}
void conv_weights(const struct conv *c, const float *x, const float *dy, float *dw, long image, float *scratch) {}

#endif
