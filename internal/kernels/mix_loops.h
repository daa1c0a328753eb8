// The loops of mix.h.

#include "lanes.h"
#include "mix.h"

// add stores v, or adds it to what is at y if it is not the first term of a sum.
INLINED void add(bool first, float *y, lanes v) {
	if (!first)
		v = lanes_load(y) + v;
	lanes_store(y, v);
}

// add_row adds n neighbouring floats.
INLINED void add_row(bool first, const float *x, float *y, long n) {
	for (long i = 0; i < n; i += LANES)
		add(first, y + i, lanes_load(x + i));
}

// add_normalised adds factor*x + offset.
INLINED void add_normalised(bool first, const float *x, const float *factor, const float *offset, float *y, long pixels, long channels) {
	for (long p = 0; p < pixels; p++, x += channels, y += channels)
		for (long c = 0; c < channels; c += LANES)
			add(first, y + c, lanes_fma(lanes_load(x + c), lanes_load(factor + c), lanes_load(offset + c)));
}

// in_window returns how many of the rows (or columns) i-1 to i+1 a map has.
static inline long in_window(long i, long all) { return 1 + (i > 0) + (i < all - 1); }

// sum_rows computes the sum of up to three rows of n floats, from the first to the last. Missing ones are NULL.
INLINED void sum_rows(const float *above, const float *row, const float *below, float *sum, long n) {
	for (long i = 0; i < n; i += LANES) {
		lanes s = lanes_load(row + i);
		if (above != NULL)
			s = lanes_load(above + i) + s;
		if (below != NULL)
			s = s + lanes_load(below + i);
		lanes_store(sum + i, s);
	}
}

// add_neighbours adds to each pixel of a row the sum of its neighbours and itself, from left to right, divided
// by count times the number of these pixels if count is not 0. There are zeros before and after the row.
INLINED void add_neighbours(bool first, const float *x, float *y, long cols, long channels, long count) {
	for (long j = 0; j < cols; j++, x += channels, y += channels) {
		float divisor = (float)(count * in_window(j, cols));
		lanes by = lanes_all(&divisor);
		for (long c = 0; c < channels; c += LANES) {
			lanes s = lanes_load(x + c - channels) + lanes_load(x + c) + lanes_load(x + c + channels);
			if (count != 0)
				s = s / by;
			add(first, y + c, s);
		}
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

// add_term adds a map x, its average or the adjoint of that to y, both an image.
INLINED void add_term(bool first, const struct mix *m, enum mix_kind kind, const float *x, float *y, float *scratch) {
	long rows = m->rows, cols = m->cols, channels = m->channels, n = cols * channels;
	float *sum = scratch + channels, *divided = sum + n + channels; // there are zeros around sum
	switch (kind) {
	case MIX_ITSELF:
		add_row(first, x, y, rows * n);
		break;
	case MIX_AVERAGE:
		for (long i = 0; i < rows; i++) {
			const float *row = x + i * n;
			sum_rows(i > 0 ? row - n : NULL, row, i < rows - 1 ? row + n : NULL, sum, n);
			add_neighbours(first, sum, y + i * n, cols, channels, in_window(i, rows));
		}
		break;
	default:
		for (long i = 0; i <= rows; i++) { // one row ahead of the sums
			if (i < rows)
				divide_row(x + i * n, divided + i % 3 * n, cols, channels, in_window(i, rows));
			if (i == 0)
				continue;
			const float *above = i > 1 ? divided + (i - 2) % 3 * n : NULL, *below = i < rows ? divided + i % 3 * n : NULL;
			sum_rows(above, divided + (i - 1) % 3 * n, below, sum, n);
			add_neighbours(first, sum, y + (i - 1) * n, cols, channels, 0);
		}
	}
}

TARGET static void NAMED(mix_term)(const struct mix *m, enum mix_kind kind, bool first, const float *x, float *y, float *scratch) {
	if (first)
		add_term(true, m, kind, x, y, scratch);
	else
		add_term(false, m, kind, x, y, scratch);
}

TARGET static void NAMED(mix_masked)(const float *x, float *y, long pixels, long channels) {
	for (long i = 0; i < pixels * channels; i += LANES)
		lanes_store(y + i, lanes_masked(lanes_load(y + i), lanes_load(x + i)));
}

TARGET static void NAMED(mix_normalised)(bool first, const float *x, const float *factor, const float *offset, float *y, long pixels, long channels) {
	if (first)
		add_normalised(true, x, factor, offset, y, pixels, channels);
	else
		add_normalised(false, x, factor, offset, y, pixels, channels);
}
