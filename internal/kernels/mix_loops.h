// The loops of mix.h.

#include "finish_loops.h"
#include "lanes.h"
#include "mix.h"

// in_window returns how many of the rows (or columns) i-1 to i+1 a map has.
static inline long in_window(long i, long all) { return 1 + (i > 0) + (i < all - 1); }

// sum_rows computes the sum of up to three rows, from the first to the last. Missing ones are NULL.
INLINED lanes sum_rows(const float *above, const float *row, const float *below, long at) {
	lanes s = lanes_load(row + at);
	if (above != NULL)
		s = lanes_load(above + at) + s;
	if (below != NULL)
		s = s + lanes_load(below + at);
	return s;
}

// sum_windows computes, for a block of channels of this many vectors, the sum of the pixels in the window of each
// pixel of a row, from left to right, divided by count times the number of its columns if count is not 0.
INLINED void sum_windows(int vectors, const struct finish *f, const float *above, const float *row, const float *below, float *y, long cols, long channels,
	long block, long count) {
	lanes before[MOST_VECTORS], here[MOST_VECTORS], after[MOST_VECTORS], all[MOST_VECTORS];
#pragma GCC unroll 3
	for (int v = 0; v < vectors; v++)
		before[v] = lanes_zero(), here[v] = sum_rows(above, row, below, block + v * LANES);
	for (long j = 0; j < cols; j++) {
		float divisor = (float)(count * in_window(j, cols));
		lanes by = lanes_all(&divisor);
#pragma GCC unroll 3
		for (int v = 0; v < vectors; v++) {
			after[v] = lanes_zero();
			if (j < cols - 1)
				after[v] = sum_rows(above, row, below, (j + 1) * channels + block + v * LANES);
			all[v] = before[v] + here[v] + after[v];
			if (count != 0)
				all[v] = all[v] / by;
			before[v] = here[v], here[v] = after[v];
		}
		finish(f, vectors, 1, all, y + j * channels + block, channels, 1, 0, block);
	}
}

// average_row computes a row of the map from its window of rows.
INLINED void average_row(const struct finish *f, const float *above, const float *row, const float *below, float *y, long cols, long channels, long count) {
	for (long block = 0, vectors; block < channels; block += vectors * LANES)
		switch (vectors = vectors_at_once(channels - block)) {
		case 1: sum_windows(1, f, above, row, below, y, cols, channels, block, count); break;
		case 2: sum_windows(2, f, above, row, below, y, cols, channels, block, count); break;
		default: sum_windows(3, f, above, row, below, y, cols, channels, block, count);
		}
}

// divide_row divides each pixel of a row by the number of pixels in its window, of which count are in a column.
INLINED void divide_row(const float *x, float *y, long cols, long channels, long count) {
	for (long j = 0; j < cols; j++, x += channels, y += channels) {
		float divisor = (float)(count * in_window(j, cols));
		lanes by = lanes_all(&divisor);
		for (long c = 0; c < channels; c += LANES)
			lanes_store(y + c, lanes_load(x + c) / by);
	}
}

INLINED void average(int addends, const struct finish *of_map, const struct mix *m, bool is_adjoint, const float *x, float *y, float *scratch) {
	const struct finish f = unmasked(addends, of_map);
	long rows = m->rows, cols = m->cols, channels = m->channels, n = cols * channels;
	if (!is_adjoint) {
		for (long i = 0; i < rows; i++)
			average_row(&f, i > 0 ? x + (i - 1) * n : NULL, x + i * n, i < rows - 1 ? x + (i + 1) * n : NULL, y + i * n, cols, channels, in_window(i, rows));
		return;
	}
	for (long i = 0; i <= rows; i++) { // one row ahead of the sums; scratch has three rows that were divided
		if (i < rows)
			divide_row(x + i * n, scratch + i % 3 * n, cols, channels, in_window(i, rows));
		if (i == 0)
			continue;
		const float *above = i > 1 ? scratch + (i - 2) % 3 * n : NULL, *below = i < rows ? scratch + i % 3 * n : NULL;
		average_row(&f, above, scratch + (i - 1) % 3 * n, below, y + (i - 1) * n, cols, channels, 0);
	}
}

TARGET static void NAMED(mix_average)(const struct mix *m, bool is_adjoint, const float *x, float *y, const struct finish *f, float *scratch) {
	WITH_ADDENDS(f, average, m, is_adjoint, x, y, scratch)
}

INLINED void itself(int addends, const struct finish *of_map, const float *x, float *y, long pixels, long channels) {
	const struct finish f = unmasked(addends, of_map);
	for (long p = 0; p < pixels; p++, x += channels, y += channels)
		for (long c = 0; c < channels; c += LANES) {
			lanes v = lanes_load(x + c);
			finish(&f, 1, 1, &v, y + c, channels, 1, 0, c);
		}
}

TARGET static void NAMED(mix_itself)(const float *x, float *y, long pixels, long channels, const struct finish *f) {
	WITH_ADDENDS(f, itself, x, y, pixels, channels)
}
