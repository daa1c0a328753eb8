// Sums of feature maps [images, rows, cols, channels] in float32, of averages of them, and of normalised maps,
// some of which may depend on others, one image at a time.

#ifndef NB201_MIX_H_
#define NB201_MIX_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// The kinds of terms. PyTorch's average of 3x3 pixels leaves the padding out, with count_include_pad=False.
enum mix_kind { MIX_ITSELF, MIX_AVERAGE, MIX_AVERAGE_BACK, MIX_NORMALISED, MIX_KINDS };

// The most of each in a call.
enum { MIX_TERMS = 7, MIX_SOURCES = 8 };

// mix_term is a term of a sum: a source, or an earlier sum if of is MIX_SOURCES or more.
struct mix_term {
	enum mix_kind kind;
	int of;
	bool last; // of its sum
};

// mix describes sums. The last one is the result.
struct mix {
	int terms, sums, sources;
	struct mix_term term[MIX_TERMS];
	bool normalised[MIX_SOURCES]; // whether a source is normalised
	long images, rows, cols, channels;
	const float *source[MIX_SOURCES], *factor[MIX_SOURCES], *offset[MIX_SOURCES];
	float *result;
};

// mix_read reads sums from their code, and reports whether it is right: there is a byte for each term, from the
// lowest on. Its bits 0 to 3 have the map: a source's number, or MIX_SOURCES plus a sum's. Bits 4 and 5 have
// the kind, bit 6 is set for the last term of a sum, and bit 7 always. A source is normalised in all
// terms or in none.
bool mix_read(int64_t code, struct mix *m);

// mix_scratch returns the number of floats of scratch memory that each thread needs.
size_t mix_scratch(const struct mix *m);

// mix_image computes an image of the result.
void mix_image(const struct mix *m, long image, float *scratch);

// mix_masked replaces floats of y by 0 where x is not positive and not NaN.
void mix_masked(const float *x, float *y, long pixels, long channels);

// mix_scaled replaces y by factor*y + offset, and adds sum if that is not NULL. factor and offset are [channels].
void mix_scaled(const float *sum, const float *factor, const float *offset, float *y, long pixels, long channels);

#endif
