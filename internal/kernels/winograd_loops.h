// The loops of winograd.c, compiled for the instruction set of lanes.h. A tile's parts are stride floats apart.

#include "finish_loops.h"
#include "lanes.h"

// winograd_split transforms a tile of 4x4 inputs at x, whose rows are row floats apart.
TARGET static void NAMED(winograd_split)(const float *x, long row, long channels, float *parts, long stride) {
	for (long c = 0; c < channels; c += LANES, x += LANES, parts += LANES) {
		lanes t[4][4];
#pragma GCC unroll 4
		for (int j = 0; j < 4; j++) {
			const float *at = x + j * channels;
			lanes a = lanes_load(at), b = lanes_load(at + row), d = lanes_load(at + 2 * row), e = lanes_load(at + 3 * row);
			t[0][j] = a - d, t[1][j] = b + d, t[2][j] = d - b, t[3][j] = b - e;
		}
#pragma GCC unroll 4
		for (int i = 0; i < 4; i++) {
			float *to = parts + 4 * i * stride;
			lanes_store(to, t[i][0] - t[i][2]);
			lanes_store(to + stride, t[i][1] + t[i][2]);
			lanes_store(to + 2 * stride, t[i][2] - t[i][1]);
			lanes_store(to + 3 * stride, t[i][1] - t[i][3]);
		}
	}
}

// winograd_join computes a tile of 2x2 outputs at y from its parts.
TARGET static void NAMED(winograd_join)(const float *parts, long stride, long channels, float *y, long row, const struct finish *f) {
	for (long c = 0; c < channels; c += LANES, y += LANES, parts += LANES) {
		lanes s[2][4];
#pragma GCC unroll 4
		for (int j = 0; j < 4; j++) {
			const float *at = parts + j * stride;
			lanes a = lanes_load(at), b = lanes_load(at + 4 * stride), d = lanes_load(at + 8 * stride), e = lanes_load(at + 12 * stride);
			s[0][j] = a + b + d, s[1][j] = b - d - e;
		}
		lanes tile[4] = {
			s[0][0] + s[0][1] + s[0][2], s[0][1] - s[0][2] - s[0][3],
			s[1][0] + s[1][1] + s[1][2], s[1][1] - s[1][2] - s[1][3],
		};
		finish(f, 1, 4, tile, y, channels, 2, row, c);
	}
}

// winograd_spread is the adjoint of winograd_join: it computes parts from a tile of 2x2 gradients.
TARGET static void NAMED(winograd_spread)(const float *dy, long row, long channels, float *parts, long stride) {
	for (long c = 0; c < channels; c += LANES, dy += LANES, parts += LANES) {
		lanes t[4][2];
#pragma GCC unroll 2
		for (int j = 0; j < 2; j++) {
			lanes a = lanes_load(dy + j * channels), b = lanes_load(dy + row + j * channels);
			t[0][j] = a, t[1][j] = a + b, t[2][j] = a - b, t[3][j] = -b;
		}
#pragma GCC unroll 4
		for (int i = 0; i < 4; i++) {
			float *to = parts + 4 * i * stride;
			lanes_store(to, t[i][0]);
			lanes_store(to + stride, t[i][0] + t[i][1]);
			lanes_store(to + 2 * stride, t[i][0] - t[i][1]);
			lanes_store(to + 3 * stride, -t[i][1]);
		}
	}
}
