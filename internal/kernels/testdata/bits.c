// Prints the name of the set of kernels in use, and then, for many shapes, hashes of what the convolutions
// and batch normalisations compute, which must be the same for all sets, compilers and processors.

#include "../calls.h"
#include "../sets.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FLOATS = 1 << 18 };

// filled returns floats from -2 to 2, which depend on the seed alone.
static float *filled(uint64_t seed) {
	float *x = malloc(sizeof(float) * FLOATS);
	for (long i = 0; i < FLOATS; i++) {
		seed = seed * 6364136223846793005u + 1442695040888963407u;
		x[i] = (float)((int32_t)(seed >> 32)) / (float)(1 << 30);
	}
	return x;
}

// fnv adds n bytes to a hash, FNV-1a.
static uint64_t fnv(uint64_t hash, const void *bytes, size_t n) {
	for (size_t i = 0; i < n; i++)
		hash = (hash ^ ((const unsigned char *)bytes)[i]) * 1099511628211u;
	return hash;
}

static uint64_t hash(const void *bytes, size_t n) { return fnv(14695981039346656037u, bytes, n); }

// convolution prints the hashes of the outputs of two images, and of the gradients of the weights. There is
// a gap after each row of dy.
static void convolution(long taps, long out_step, long in_step, long size, long in, long out, bool relu) {
	struct conv c = {
		.taps = taps, .images = 2, .in_rows = size / in_step, .in_cols = size / in_step, .in = in, .in_step = in_step,
		.rows = size / out_step, .cols = size / out_step, .out = out, .out_step = out_step,
	};
	long weights = taps * taps * in * out, image = c.in_rows * c.in_cols * in, made = c.rows * c.cols * out, dy_row = c.cols * out + 24, row;
	float *x = filled(1), *w = filled(2), *dy = filled(3), *y = filled(4), *dw = filled(5);
	float *scratch = calloc(conv_scratch(&c, relu) + 1, sizeof(float)), *gradients = calloc((size_t)weights, sizeof(float));
	for (int i = 0; i < 2; i++) {
		const float *padded = conv_pad(&c, x + i * image, relu, scratch, &row);
		conv_pixels(&c, padded, row, w, y + i * made, NULL);
		conv_weights(&c, padded, row, dy + i * c.rows * dy_row, dy_row, gradients);
	}
	conv_order(&c, gradients, dw);
	printf("%ldx%ld %ld %ld of %ld from %ld to %ld%s: %016llx %016llx\n", taps, taps, out_step, in_step, size, in, out, relu ? " after ReLU" : "",
		(unsigned long long)hash(y, sizeof(float) * (size_t)(2 * made)), (unsigned long long)hash(dw, sizeof(float) * (size_t)weights));
	free(x), free(w), free(dy), free(y), free(dw), free(scratch), free(gradients);
}

// normalisation prints the hashes of moments, of two numbers of pixels, of a scaled map, and of gradients.
static void normalisation(long pixels, long channels) {
	float *x = filled(1), *dy = filled(2), *v = filled(3), *y = filled(4);
	double sums[2][64] = {0}, moments[2][2][64] = {0};
	struct norm_moments m[2] = {{0, moments[0][0], moments[0][1]}, {0, moments[1][0], moments[1][1]}};
	norm_measure(x, pixels, channels, &m[0]);
	norm_measure(x + pixels * channels, pixels / 2 + 1, channels, &m[1]);
	norm_join(&m[0], &m[1], channels);
	norm_scale(x, v, v + 64, y, pixels, channels);
	uint64_t scaled = hash(y, sizeof(float) * (size_t)(pixels * channels));
	norm_sums(x, v, dy, sums[0], sums[1], pixels, channels);
	norm_gradient(x, dy, v, v + 64, v + 128, y, pixels, channels);
	printf("%ld pixels of %ld: %016llx %016llx %016llx %016llx\n", pixels, channels, (unsigned long long)hash(moments, sizeof moments),
		(unsigned long long)scaled, (unsigned long long)hash(sums, sizeof sums),
		(unsigned long long)hash(y, sizeof(float) * (size_t)(pixels * channels)));
	free(x), free(dy), free(v), free(y);
}

// extremes prints what ReLU makes of zeros, infinities and the smallest numbers.
static void extremes(void) {
	struct conv c = {.taps = 1, .images = 1, .in_rows = 1, .in_cols = 2, .in = 8, .in_step = 1, .rows = 1, .cols = 2, .out = 8, .out_step = 1};
	const float x[16] = {0, -0.0f, 1, -1, 1e-45f, -1e-45f, INFINITY, -INFINITY, 3e38f, -3e38f, -0.0f, 1e-38f, -1e-38f, 2, -2, NAN};
	float scratch[16] = {0};
	long row;
	conv_pad(&c, x, true, scratch, &row);
	printf("ReLU:");
	for (int i = 0; i < 16; i++)
		printf(" %g", (double)scratch[i]);
	printf("\n");
}

int main(void) {
	printf("%s\n", kernels_chosen()->name);
	extremes();
	static const long sizes[] = {2, 4, 6, 10, 12, 34}, kinds[][3] = {{3, 1, 1}, {1, 1, 1}, {3, 2, 1}, {3, 1, 2}};
	int turn = 0;
	for (long out = 8; out <= 64; out += 8)
		for (long in = 0; in <= 64; in += 8) {
			const long *kind = kinds[in == 0 ? 0 : turn % 4];
			long size = sizes[turn % (in + out > 64 ? 3 : in + out > 40 ? 5 : 6)];
			convolution(kind[0], kind[1], kind[2], size - (kind[1] * kind[2] == 1), in == 0 ? 3 : in, out, in > 0 && turn % 7 < 2);
			turn++;
		}
	for (long channels = 8; channels <= 64; channels += 8)
		for (long pixels = 1; pixels <= 2000; pixels += 333 + channels)
			normalisation(pixels, channels);
	return 0;
}
