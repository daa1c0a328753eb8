#include "conv.h"

#include <string.h>

#include "lanes.h"

static bool is_padded(const struct conv *c) { return c->taps > 1 || c->in_step > 1; }

// seen_rows and seen_cols return the size of the part of a padded image that the outputs depend on.
static long seen_rows(const struct conv *c) { return (c->rows - 1) * c->out_step + c->taps; }
static long seen_cols(const struct conv *c) { return (c->cols - 1) * c->out_step + c->taps; }

size_t conv_scratch(const struct conv *c) {
	return is_padded(c) ? (size_t)(seen_rows(c) * seen_cols(c) * c->in) : 0;
}

#ifdef __x86_64__

#include <cpuid.h>
#include <immintrin.h>

// The functions below use AVX2's 16 registers of 8 floats. SUMS of them hold sums: of a block of
// output channels for as many pixels (or weights) as there is room for.
enum { SUMS = 12 };

// conv_can asks the processor, since __builtin_cpu_supports denies that it has AVX2 when built with Zig's
// runtime library.
bool conv_can(void) {
	unsigned a, b, c, d;
	if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE) || !(c & bit_FMA))
		return false;
	unsigned saved, high; // which registers the system saves: bit 1 for SSE's, bit 2 for AVX's
	__asm__("xgetbv" : "=a"(saved), "=d"(high) : "c"(0));
	return (saved & 6) == 6 && __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & bit_AVX2);
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

// broadcast_pair returns two neighbouring floats, four times.
INLINED __m256 broadcast_pair(const float *x) {
	double pair;
	memcpy(&pair, x, sizeof pair);
	return _mm256_castpd_ps(_mm256_set1_pd(pair));
}

// narrow_pixels computes the only LANES output channels of n neighbouring pixels, for an even number of
// input channels. It takes two input channels at a time, and adds up the products of each separately,
// so that the processor is as busy as with twice as many output channels. For the other arguments see
// pixels.
INLINED void narrow_pixels(int n, const float *x, long step, long row, const float *w, long taps, long wide, float *y) {
	__m256 low[SUMS / 2], high[SUMS / 2]; // of output channels 0, 1, 4 and 5, and of the others
#pragma GCC unroll 6
	for (int p = 0; p < n; p++)
		low[p] = high[p] = _mm256_setzero_ps();
	for (long a = 0; a < taps; a++, x += row)
		for (long k = 0; k < wide; k += 2, w += 2 * LANES) {
			__m256 even = _mm256_loadu_ps(w), odd = _mm256_loadu_ps(w + LANES);
			__m256 w_low = _mm256_unpacklo_ps(even, odd), w_high = _mm256_unpackhi_ps(even, odd);
#pragma GCC unroll 6
			for (int p = 0; p < n; p++) {
				__m256 values = broadcast_pair(x + p * step + k);
				low[p] = _mm256_fmadd_ps(values, w_low, low[p]);
				high[p] = _mm256_fmadd_ps(values, w_high, high[p]);
			}
		}
#pragma GCC unroll 6
	for (int p = 0; p < n; p++, y += LANES)
		_mm256_storeu_ps(y, _mm256_hadd_ps(low[p], high[p]));
}

// pixels computes a block of output channels, of this many vectors, for n neighbouring pixels. In each
// of taps rows, a pixel depends on one contiguous piece of memory of wide floats, which begins at x for
// the first pixel and step floats later for each following one.
INLINED void pixels(int vectors, int n, const float *x, long step, long row, const float *w, long taps, long wide, long out, float *y) {
	__m256 sums[SUMS];
#pragma GCC unroll 12
	for (int s = 0; s < n * vectors; s++)
		sums[s] = _mm256_setzero_ps();
	for (long a = 0; a < taps; a++, x += row)
		for (long k = 0; k < wide; k++, w += out) {
			__m256 weight[MOST_VECTORS];
#pragma GCC unroll 3
			for (int v = 0; v < vectors; v++)
				weight[v] = _mm256_loadu_ps(w + v * LANES);
#pragma GCC unroll 12
			for (int p = 0; p < n; p++) {
				__m256 value = _mm256_broadcast_ss(x + p * step + k);
#pragma GCC unroll 3
				for (int v = 0; v < vectors; v++)
					sums[p * vectors + v] = _mm256_fmadd_ps(value, weight[v], sums[p * vectors + v]);
			}
		}
#pragma GCC unroll 12
	for (int p = 0; p < n; p++, y += out)
#pragma GCC unroll 3
		for (int v = 0; v < vectors; v++)
			_mm256_storeu_ps(y + v * LANES, sums[p * vectors + v]);
}

// weights adds the sums over rows x cols pixels of n neighbouring floats of one map, times this many
// neighbouring vectors of another, to n rows of dw, which are wide floats apart. From one pixel to the
// next, the maps advance by one_step and many_step, and from one row of pixels to the next by one_row
// and many_row.
INLINED void weights(int vectors, int n, const float *one, long one_step, long one_row, const float *many, long many_step, long many_row,
	long rows, long cols, long wide, float *dw) {
	__m256 sums[SUMS];
#pragma GCC unroll 12
	for (int k = 0; k < n; k++)
#pragma GCC unroll 3
		for (int v = 0; v < vectors; v++)
			sums[k * vectors + v] = _mm256_loadu_ps(dw + k * wide + v * LANES);
	for (long i = 0; i < rows; i++, one += one_row, many += many_row) {
		const float *from = one, *by = many;
		for (long j = 0; j < cols; j++, from += one_step, by += many_step) {
			__m256 factor[MOST_VECTORS];
#pragma GCC unroll 3
			for (int v = 0; v < vectors; v++)
				factor[v] = _mm256_loadu_ps(by + v * LANES);
#pragma GCC unroll 12
			for (int k = 0; k < n; k++) {
				__m256 value = _mm256_broadcast_ss(from + k);
#pragma GCC unroll 3
				for (int v = 0; v < vectors; v++)
					sums[k * vectors + v] = _mm256_fmadd_ps(value, factor[v], sums[k * vectors + v]);
			}
		}
	}
#pragma GCC unroll 12
	for (int k = 0; k < n; k++)
#pragma GCC unroll 3
		for (int v = 0; v < vectors; v++)
			_mm256_storeu_ps(dw + k * wide + v * LANES, sums[k * vectors + v]);
}

// WITH_CONSTANTS calls a function with its first two arguments, the numbers of vectors and of pixels
// (or weights), as constants, so that the compiler unrolls its loops.
#define WITH_CONSTANTS(vectors, n, function, ...) \
	switch ((vectors) * 16 + (n)) { \
		UP_TO_12(1, function, __VA_ARGS__) \
		UP_TO_6(2, function, __VA_ARGS__) \
		UP_TO_4(3, function, __VA_ARGS__) \
	}
#define UP_TO_12(vectors, ...) \
	UP_TO_6(vectors, __VA_ARGS__) CALL(vectors, 7, __VA_ARGS__) CALL(vectors, 8, __VA_ARGS__) CALL(vectors, 9, __VA_ARGS__) \
	CALL(vectors, 10, __VA_ARGS__) CALL(vectors, 11, __VA_ARGS__) CALL(vectors, 12, __VA_ARGS__)
#define UP_TO_6(vectors, ...) UP_TO_4(vectors, __VA_ARGS__) CALL(vectors, 5, __VA_ARGS__) CALL(vectors, 6, __VA_ARGS__)
#define UP_TO_4(vectors, ...) \
	CALL(vectors, 1, __VA_ARGS__) CALL(vectors, 2, __VA_ARGS__) CALL(vectors, 3, __VA_ARGS__) CALL(vectors, 4, __VA_ARGS__)
#define CALL(vectors, n, function, ...) \
	case vectors * 16 + n: function(vectors, n, __VA_ARGS__); break;

// at_once returns how many of the left pixels or weights to process next: as many as there is room
// for, or half of them if less than twice as many are left.
static int at_once(long vectors, long left) {
	long most = SUMS / vectors;
	if (left >= 2 * most)
		return (int)most;
	return (int)(left > most ? (left + 1) / 2 : left);
}

// NARROW_PIXELS calls narrow_pixels with its first argument as a constant, as WITH_CONSTANTS does.
#define NARROW_PIXELS(n, ...) \
	switch (n) { \
		NARROW(1, __VA_ARGS__) NARROW(2, __VA_ARGS__) NARROW(3, __VA_ARGS__) \
		NARROW(4, __VA_ARGS__) NARROW(5, __VA_ARGS__) NARROW(6, __VA_ARGS__) \
	}
#define NARROW(n, ...) \
	case n: narrow_pixels(n, __VA_ARGS__); break;

AVX2 void conv_forward(const struct conv *c, const float *x, const float *w, float *y, long image, float *scratch) {
	long row, step = c->out_step * c->in, wide = c->taps * c->in;
	x = pad(c, x + image * c->in_rows * c->in_cols * c->in, scratch, &row);
	y += image * c->rows * c->cols * c->out;
	bool narrow = c->out == LANES && c->in % 2 == 0;
	bool in_line = !is_padded(c); // all pixels of such an image are neighbours
	long rows = in_line ? 1 : c->rows, cols = in_line ? c->rows * c->cols : c->cols;
	for (long i = 0; i < rows; i++)
		for (long block = 0, vectors; block < c->out; block += vectors * LANES) {
			vectors = vectors_at_once(c->out - block);
			int n;
			for (long j = 0; j < cols; j += n) {
				n = at_once(narrow ? 2 : vectors, cols - j);
				const float *from = x + i * c->out_step * row + j * step;
				float *made = y + (i * cols + j) * c->out + block;
				if (narrow)
					NARROW_PIXELS(n, from, step, row, w, c->taps, wide, made)
				else
					WITH_CONSTANTS(vectors, n, pixels, from, step, row, w + block, c->taps, wide, c->out, made)
			}
		}
}

// is_turned reports whether conv_weights sums up the gradients as [taps, out, taps, in], with vectors of
// input channels: more of them than of LANES output channels fit into the registers at once.
static bool is_turned(const struct conv *c) { return c->out == LANES && c->in % LANES == 0; }

// rows_at_once returns how many rows conv_weights processes together, so that they stay in the cache. A
// pixel takes up one cache line in a block of 2 vectors, and usually two in a block of 3.
static long rows_at_once(const struct conv *c) {
	long most = c->out % (2 * LANES) == 0 ? 8 : 128 / c->cols;
	return most < 1 ? 1 : most > 8 ? 8 : most;
}

AVX2 void conv_weights(const struct conv *c, const float *x, const float *dy, float *gradients, long image, float *scratch) {
	long row, step = c->out_step * c->in, wide = c->taps * c->in;
	x = pad(c, x + image * c->in_rows * c->in_cols * c->in, scratch, &row);
	dy += image * c->rows * c->cols * c->out;
	bool turned = is_turned(c);
	long ones = turned ? c->out : wide, manies = turned ? wide : c->out;
	long most = rows_at_once(c), rows;
	for (long i = 0; i < c->rows; i += rows) {
		rows = c->rows - i < most ? c->rows - i : most;
		const float *dy_rows = dy + i * c->cols * c->out;
		for (long block = 0, vectors; block < manies; block += vectors * LANES) {
			vectors = turned && c->taps == 3 ? MOST_VECTORS : vectors_at_once(manies - block);
			for (long a = 0; a < c->taps; a++) {
				const float *x_rows = x + (i * c->out_step + a) * row;
				int n;
				for (long k = 0; k < ones; k += n) {
					n = at_once(vectors, ones - k);
					float *made = gradients + (a * ones + k) * manies + block;
					if (turned)
						WITH_CONSTANTS(vectors, n, weights, dy_rows + k, c->out, c->cols * c->out, x_rows + block, step, c->out_step * row,
							rows, c->cols, manies, made)
					else
						WITH_CONSTANTS(vectors, n, weights, x_rows + k, step, c->out_step * row, dy_rows + block, c->out, c->cols * c->out,
							rows, c->cols, manies, made)
				}
			}
		}
	}
}

void conv_order(const struct conv *c, const float *gradients, float *dw) {
	long wide = c->taps * c->in;
	if (!is_turned(c)) {
		memcpy(dw, gradients, sizeof(float) * (size_t)(c->taps * wide * c->out));
		return;
	}
	for (long a = 0; a < c->taps; a++, gradients += wide * c->out, dw += wide * c->out)
		for (long k = 0; k < wide; k++)
			for (long o = 0; o < c->out; o++)
				dw[k * c->out + o] = gradients[o * wide + k];
}

#else

bool conv_can(void) { return false; }
void conv_forward(const struct conv *c, const float *x, const float *w, float *y, long image, float *scratch) {}
void conv_weights(const struct conv *c, const float *x, const float *dy, float *gradients, long image, float *scratch) {}
void conv_order(const struct conv *c, const float *gradients, float *dw) {}

#endif
