// The loops of conv.c, compiled for the instruction set of lanes.h.

#include "finish_loops.h"
#include "lanes.h"
#include "sets.h"

// SUMS vector registers hold sums: of a block of output channels for as many pixels (or weights) as there is
// room for, and at most MOST_AT_ONCE. The other registers hold a block's weights (or pixels) and one more value.
enum { SUMS = REGISTERS / 4 * 3, MOST_AT_ONCE = 16 };

// narrow_pixels computes a vector of output channels for n neighbouring pixels, for an even number of
// input channels. It adds up the products of even and of odd input channels separately, in two sums a pixel,
// so that the processor is as busy as with twice as many output channels. For the other arguments see
// pixels.
INLINED void narrow_pixels(int two, int n, const float *x, long step, long row, const float *w, long taps, long wide, long out, float *y,
	long channel, const struct finish *f) {
	(void)two;
	lanes_pair sums[SUMS / 2];
	lanes joined[SUMS / 2];
#pragma GCC unroll 12
	for (int p = 0; p < n; p++)
		sums[p] = (lanes_pair){lanes_zero(), lanes_zero()};
	for (long a = 0; a < taps; a++, x += row)
		for (long k = 0; k < wide; k += 2, w += 2 * out) {
			lanes_pair weight = lanes_zip(lanes_load(w), lanes_load(w + out));
#pragma GCC unroll 12
			for (int p = 0; p < n; p++) {
				lanes_pair values = lanes_two(x + p * step + k);
				sums[p].first = lanes_fma(values.first, weight.first, sums[p].first);
				sums[p].second = lanes_fma(values.second, weight.second, sums[p].second);
			}
		}
#pragma GCC unroll 12
	for (int p = 0; p < n; p++)
		joined[p] = lanes_joined(sums[p]);
	finish(f, 1, n, joined, y, out, n, 0, channel);
}

// pixels computes a block of output channels, of this many vectors, for n neighbouring pixels. In each
// of taps rows, a pixel depends on one contiguous piece of memory of wide floats, which begins at x for
// the first pixel and step floats later for each following one.
INLINED void pixels(int vectors, int n, const float *x, long step, long row, const float *w, long taps, long wide, long out, float *y,
	long channel, const struct finish *f) {
	lanes sums[SUMS];
#pragma GCC unroll 24
	for (int s = 0; s < n * vectors; s++)
		sums[s] = lanes_zero();
	for (long a = 0; a < taps; a++, x += row) {
		// Many pixels need two pointers, or the compiler keeps a multiple of step for each pixel, and has not enough
		// registers for them.
		const float *near = x, *far = x + MOST_AT_ONCE / 2 * step;
		for (long k = 0; k < wide; k++, w += out, near++, far++) {
			if (vectors == 1 && n > MOST_AT_ONCE / 2) // hides that they are related
				__asm__("" : "+r"(near), "+r"(far));
			lanes weight[MOST_VECTORS];
#pragma GCC unroll 3
			for (int v = 0; v < vectors; v++)
				weight[v] = lanes_load(w + v * LANES);
#pragma GCC unroll 24
			for (int p = 0; p < n; p++) {
				lanes value = lanes_all(p < MOST_AT_ONCE / 2 ? near + p * step : far + (p - MOST_AT_ONCE / 2) * step);
#pragma GCC unroll 3
				for (int v = 0; v < vectors; v++)
					sums[p * vectors + v] = lanes_fma(value, weight[v], sums[p * vectors + v]);
			}
		}
	}
	finish(f, vectors, n, sums, y, out, n, 0, channel);
}

// weights adds the sums over rows x cols pixels of n neighbouring floats of one map, times this many
// neighbouring vectors of another, to n rows of dw, which are wide floats apart. From one pixel to the
// next, the maps advance by one_step and many_step, and from one row of pixels to the next by one_row
// and many_row.
INLINED void weights(int vectors, int n, const float *one, long one_step, long one_row, const float *many, long many_step, long many_row,
	long rows, long cols, long wide, float *dw) {
	lanes sums[SUMS];
#pragma GCC unroll 24
	for (int k = 0; k < n; k++)
#pragma GCC unroll 3
		for (int v = 0; v < vectors; v++)
			sums[k * vectors + v] = lanes_load(dw + k * wide + v * LANES);
	for (long i = 0; i < rows; i++, one += one_row, many += many_row) {
		const float *from = one, *by = many;
		for (long j = 0; j < cols; j++, from += one_step, by += many_step) {
			lanes factor[MOST_VECTORS];
#pragma GCC unroll 3
			for (int v = 0; v < vectors; v++)
				factor[v] = lanes_load(by + v * LANES);
#pragma GCC unroll 24
			for (int k = 0; k < n; k++) {
				lanes value = lanes_all(from + k);
#pragma GCC unroll 3
				for (int v = 0; v < vectors; v++)
					sums[k * vectors + v] = lanes_fma(value, factor[v], sums[k * vectors + v]);
			}
		}
	}
#pragma GCC unroll 24
	for (int k = 0; k < n; k++)
#pragma GCC unroll 3
		for (int v = 0; v < vectors; v++)
			lanes_store(dw + k * wide + v * LANES, sums[k * vectors + v]);
}

// WITH_CONSTANTS calls a function with its first two arguments, the numbers of vectors and of pixels
// (or weights), as constants, so that the compiler unrolls its loops.
#define WITH_CONSTANTS(vectors, n, function, ...) \
	switch ((vectors) * 32 + (n)) { \
		UP_TO_16(1, function, __VA_ARGS__) \
		UP_TO_12(2, function, __VA_ARGS__) \
		UP_TO_8(3, function, __VA_ARGS__) \
	}
#define UP_TO_16(...) UP_TO_12(__VA_ARGS__) CALL(16, __VA_ARGS__)
#define UP_TO_12(...) UP_TO_8(__VA_ARGS__) CALL(12, __VA_ARGS__)
#define UP_TO_8(...) \
	CALL(1, __VA_ARGS__) CALL(2, __VA_ARGS__) CALL(3, __VA_ARGS__) CALL(4, __VA_ARGS__) CALL(6, __VA_ARGS__) CALL(8, __VA_ARGS__)
#define CALL(n, vectors, function, ...) \
	case vectors * 32 + n: \
		if (vectors * n <= SUMS) \
			function(vectors, n, __VA_ARGS__); \
		break;

// at_once returns how many of the left pixels or weights to process next: as many as there is room
// for, or about half of them if less than twice as many are left. WITH_CONSTANTS has these numbers.
static int at_once(long vectors, long left) {
	static const char no_more[] = {0, 1, 2, 3, 4, 4, 6, 6, 8, 8, 8, 8, 12, 12, 12, 12, 16};
	static const char no_less[] = {0, 1, 2, 3, 4, 6, 6, 8, 8, 12, 12, 12, 12, 16, 16, 16, 16};
	long most = SUMS / vectors < MOST_AT_ONCE ? SUMS / vectors : MOST_AT_ONCE;
	if (left >= 2 * most)
		return (int)most;
	return left > most ? no_less[(left + 1) / 2] : no_more[left];
}

// conv_image computes the output of an image.
INLINED void conv_image(const struct conv *c, const float *x, long row, const float *w, float *y, const struct finish *f) {
	long step = c->out_step * c->in, wide = c->taps * c->in;
	bool narrow = conv_is_narrow(c);
	bool in_line = c->taps == 1 && row == c->cols * step; // all pixels of the image are neighbours
	long rows = in_line ? 1 : c->rows, cols = in_line ? c->rows * c->cols : c->cols;
	for (long i = 0; i < rows; i++)
		for (long block = 0, vectors; block < c->out; block += vectors * LANES) {
			vectors = narrow ? 1 : vectors_at_once(c->out - block);
			int n;
			for (long j = 0; j < cols; j += n) {
				n = at_once(narrow ? 2 : vectors, cols - j);
				const float *from = x + i * c->out_step * row + j * step;
				float *made = y + (i * cols + j) * c->out + block;
				if (narrow)
					switch (2 * 32 + n) { UP_TO_12(2, narrow_pixels, from, step, row, w + block, c->taps, wide, c->out, made, block, f) }
				else
					WITH_CONSTANTS(vectors, n, pixels, from, step, row, w + block, c->taps, wide, c->out, made, block, f)
			}
		}
}

// conv_pixels is conv_image, compiled separately without finish, for which the products of Winograd's tiles would wait.
TARGET static void NAMED(conv_pixels)(const struct conv *c, const float *x, long row, const float *w, float *y, const struct finish *f) {
	if (f == NULL)
		conv_image(c, x, row, w, y, NULL);
	else
		conv_image(c, x, row, w, y, f);
}

// rows_at_once returns how many rows conv_weights processes together, so that they stay in the cache. 16
// channels of a pixel take up one cache line, and 24 usually two.
static long rows_at_once(const struct conv *c) {
	long most = c->out % 16 == 0 ? 8 : 128 / c->cols;
	return most < 1 ? 1 : most > 8 ? 8 : most;
}

TARGET static void NAMED(conv_weights)(const struct conv *c, const float *x, long row, const float *dy, long dy_row, float *gradients) {
	long step = c->out_step * c->in, wide = c->taps * c->in;
	bool turned = conv_is_turned(c);
	long ones = turned ? c->out : wide, manies = turned ? wide : c->out;
	long one_step = turned ? c->out : step, one_row = turned ? dy_row : c->out_step * row;
	long many_step = turned ? step : c->out, many_row = turned ? c->out_step * row : dy_row;
	long most = rows_at_once(c), rows;
	for (long i = 0; i < c->rows; i += rows) {
		rows = c->rows - i < most ? c->rows - i : most;
		for (long block = 0, vectors; block < manies; block += vectors * LANES) {
			vectors = turned && c->taps == 3 ? MOST_VECTORS : vectors_at_once(manies - block);
			for (long a = 0; a < c->taps; a++) {
				const float *x_rows = x + (i * c->out_step + a) * row, *dy_rows = dy + i * dy_row;
				const float *one = turned ? dy_rows : x_rows, *many = (turned ? x_rows : dy_rows) + block;
				int n;
				for (long k = 0; k < ones; k += n) {
					n = at_once(vectors, ones - k);
					WITH_CONSTANTS(vectors, n, weights, one + k, one_step, one_row, many, many_step, many_row, rows, c->cols, manies,
						gradients + (a * ones + k) * manies + block)
				}
			}
		}
	}
}
