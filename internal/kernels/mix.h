// Sums of feature maps [images, rows, cols, channels] in float32, of averages of them, of normalised maps, and of
// convolved ones, some of which may depend on others, a few images at a time.

#ifndef NB201_MIX_H_
#define NB201_MIX_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "convolution.h"

// The kinds of terms. PyTorch's average of 3x3 pixels leaves the padding out, with count_include_pad=False. A
// convolved term is the positive part of a map, convolved with stride 1 and normalised.
enum mix_kind { MIX_ITSELF = 1, MIX_AVERAGE, MIX_AVERAGE_BACK, MIX_NORMALISED, MIX_CONVOLVED };

// The most of each in a call.
enum { MIX_TERMS = 7, MIX_SOURCES = 8 };

// mix_term is a term of a sum: a source, or an earlier sum if of is MIX_SOURCES or more.
struct mix_term {
	enum mix_kind kind;
	int of;
	bool last;                      // of its sum
	struct convolution convolution; // of a convolved term, like factor and offset
	const float *factor, *offset;
};

// mix describes sums. The last one is the result.
struct mix {
	int terms, sums, sources;
	struct mix_term term[MIX_TERMS];
	bool normalised[MIX_SOURCES]; // whether a source is normalised
	long images, rows, cols, channels;
	long group; // how many images to compute together
	const float *source[MIX_SOURCES], *factor[MIX_SOURCES], *offset[MIX_SOURCES];
	float *result;
};

// mix_read reads sums from their code, and reports whether it is right: there is a byte for each term, from the
// lowest on. Its bits 0 to 3 have the map: a source's number, or MIX_SOURCES plus a sum's. Bits 4 to 6 have
// the kind, and bit 7 is set for the last term of a sum. A source is normalised in all terms or in none.
bool mix_read(int64_t code, struct mix *m);

// mix_begin prepares the convolutions. It returns false if there is no memory. mix_end frees what it has allocated.
bool mix_begin(struct mix *m);
void mix_end(struct mix *m);

// mix_scratch returns the number of floats of scratch memory, zeros at first, that each thread needs.
size_t mix_scratch(const struct mix *m);

// mix_group computes a group of images of the result.
void mix_group(const struct mix *m, long group, float *scratch);

#endif
