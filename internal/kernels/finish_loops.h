// The end of the loops that finish.h describes.

#ifndef NB201_FINISH_LOOPS_H_
#define NB201_FINISH_LOOPS_H_

#include "finish.h"
#include "lanes.h"

// finish stores results: of n pixels, this many vectors each. y is where the first one goes in the map, and channel its
// channel. Pixels are wide floats apart, and after each cols of them, there is a row, row floats after the one before.
INLINED void finish(const struct finish *f, int vectors, int n, lanes *results, float *y, long wide, int cols, long row, long channel) {
	long turn = row - (cols - 1) * wide; // from the last pixel of a row to the next row
	if (f != NULL) {
		long at = y - f->y;
		if (f->factor != NULL)
#pragma GCC unroll 3
			for (int v = 0; v < vectors; v++) {
				lanes factor = lanes_load(f->factor + channel + v * LANES), offset = lanes_load(f->offset + channel + v * LANES);
#pragma GCC unroll 24
				for (int p = 0; p < n; p++)
					results[p * vectors + v] = lanes_fma(results[p * vectors + v], factor, offset);
			}
		if (f->by != NULL) {
			const float *by = f->by + at;
#pragma GCC unroll 24
			for (int p = 0; p < n; p++, by += p % cols == 0 ? turn : wide)
#pragma GCC unroll 3
				for (int v = 0; v < vectors; v++)
					results[p * vectors + v] = lanes_masked(results[p * vectors + v], lanes_load(by + v * LANES));
		}
		for (int i = 0; i < f->addends; i++) {
			const float *addend = f->addend[i] + at;
#pragma GCC unroll 24
			for (int p = 0; p < n; p++, addend += p % cols == 0 ? turn : wide)
#pragma GCC unroll 3
				for (int v = 0; v < vectors; v++)
					results[p * vectors + v] = results[p * vectors + v] + lanes_load(addend + v * LANES);
		}
	}
#pragma GCC unroll 24
	for (int p = 0; p < n; p++, y += p % cols == 0 ? turn : wide)
#pragma GCC unroll 3
		for (int v = 0; v < vectors; v++)
			lanes_store(y + v * LANES, results[p * vectors + v]);
}

#endif
