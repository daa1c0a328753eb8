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

// unmasked returns a copy of f, in which by is NULL, with this many addends. Loops that finish a pixel at a time pass a
// constant, because otherwise they would take up to twice as long.
INLINED struct finish unmasked(int addends, const struct finish *f) {
	struct finish own = *f;
	own.by = NULL;
	own.addends = addends;
	return own;
}

// WITH_ADDENDS calls function with f's number of addends, which is a constant if it is 0 or 1, and f.
#define WITH_ADDENDS(f, function, ...) \
	switch ((f)->addends) { \
	case 0: function(0, f, __VA_ARGS__); break; \
	case 1: function(1, f, __VA_ARGS__); break; \
	default: function((f)->addends, f, __VA_ARGS__); \
	}

#endif
