// The loops of norm.c, compiled for the instruction set of lanes.h.

#include <stddef.h>

#include "lanes.h"
#include "norm.h"

enum { AT_ONCE = 4 };

// piece_length returns how many pixels to sum in float32; the sums of pieces are added in float64. A
// piece is small enough to stay in the cache for a second pass.
static long piece_length(long left, long channels) {
	long most = 8192 / channels;
	if (most < AT_ONCE)
		most = AT_ONCE;
	return left < most ? left : most;
}

enum summand { VALUES, SQUARES, PRODUCTS };

// sum computes the sum over pixels of x, (x - centre)^2 or y * (x - centre), for a block of channels of
// this many vectors. It computes AT_ONCE partial sums side by side, because each addition has to wait
// for the previous one to the same sum.
INLINED void sum(int vectors, enum summand of, const float *x, const float *y, const float *centre, long pixels, long channels, float *total) {
	lanes sums[AT_ONCE][MOST_VECTORS], centres[MOST_VECTORS];
#pragma GCC unroll 3
	for (int v = 0; v < vectors; v++) {
		centres[v] = of == VALUES ? lanes_zero() : lanes_load(centre + v * LANES);
#pragma GCC unroll 4
		for (int a = 0; a < AT_ONCE; a++)
			sums[a][v] = lanes_zero();
	}
	for (long p = 0; p < pixels; p += AT_ONCE)
#pragma GCC unroll 4
		for (int a = 0; a < AT_ONCE; a++) {
			if (p + a >= pixels)
				break;
#pragma GCC unroll 3
			for (int v = 0; v < vectors; v++) {
				long at = (p + a) * channels + v * LANES;
				lanes value = lanes_load(x + at), distance = value - centres[v];
				if (of == VALUES)
					sums[a][v] = sums[a][v] + value;
				else
					sums[a][v] = lanes_fma(of == SQUARES ? distance : lanes_load(y + at), distance, sums[a][v]);
			}
		}
#pragma GCC unroll 3
	for (int v = 0; v < vectors; v++)
		lanes_store(total + v * LANES,
			(sums[0][v] + sums[1][v]) + (sums[2][v] + sums[3][v]));
}

// SUM calls sum with a number of vectors that is a constant, so that the compiler unrolls its loops.
#define SUM(vectors, ...) \
	switch (vectors) { \
	case 1: sum(1, __VA_ARGS__); break; \
	case 2: sum(2, __VA_ARGS__); break; \
	default: sum(3, __VA_ARGS__); break; \
	}

TARGET static void NAMED(norm_measure)(const float *x, long pixels, long channels, struct norm_moments *moments) {
	for (long n; pixels > 0; pixels -= n, x += n * channels) {
		n = piece_length(pixels, channels);
		long before = moments->pixels, all = before + n;
		for (long block = 0, vectors; block < channels; block += vectors * LANES) {
			vectors = vectors_at_once(channels - block);
			float values[MOST_VECTORS * LANES], mean[MOST_VECTORS * LANES], squares[MOST_VECTORS * LANES];
			SUM(vectors, VALUES, x + block, NULL, NULL, n, channels, values)
			for (int c = 0; c < vectors * LANES; c++)
				mean[c] = values[c] / (float)n;
			SUM(vectors, SQUARES, x + block, NULL, mean, n, channels, squares)
			for (int c = 0; c < vectors * LANES; c++) {
				double *m = moments->mean + block + c, *q = moments->squares + block + c;
				double exact = (double)values[c] / (double)n, off = exact - mean[c], apart = exact - *m;
				*q += squares[c] - off * off * (double)n + apart * apart * ((double)before * (double)n / (double)all);
				*m += apart * ((double)n / (double)all);
			}
		}
		moments->pixels = all;
	}
}

TARGET static void NAMED(norm_sums)(const float *x, const float *mean, const float *dy, double *of_dy, double *of_products, long pixels, long channels) {
	for (long n; pixels > 0; pixels -= n, x += n * channels, dy += n * channels) {
		n = piece_length(pixels, channels);
		for (long block = 0, vectors; block < channels; block += vectors * LANES) {
			vectors = vectors_at_once(channels - block);
			float sums[MOST_VECTORS * LANES];
			if (of_dy != NULL) {
				SUM(vectors, VALUES, dy + block, NULL, NULL, n, channels, sums)
				for (int c = 0; c < vectors * LANES; c++)
					of_dy[block + c] += sums[c];
			}
			SUM(vectors, PRODUCTS, x + block, dy + block, mean + block, n, channels, sums)
			for (int c = 0; c < vectors * LANES; c++)
				of_products[block + c] += sums[c];
		}
	}
}

TARGET static void NAMED(norm_gradient)(const float *x, const float *dy, const float *factor, const float *slope, const float *term, float *dx,
	long pixels, long channels) {
	for (long p = 0; p < pixels; p++, x += channels, dy += channels, dx += channels)
		for (long c = 0; c < channels; c += LANES) {
			lanes of_x = lanes_fma(lanes_load(x + c), lanes_load(slope + c), lanes_load(term + c));
			lanes_store(dx + c, lanes_fma(lanes_load(dy + c), lanes_load(factor + c), of_x));
		}
}
