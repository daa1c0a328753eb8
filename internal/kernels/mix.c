#include "mix.h"

#include "sets.h"

bool mix_read(int64_t code, struct mix *m) {
	*m = (struct mix){0};
	bool used[MIX_SOURCES] = {false};
	uint64_t left = (uint64_t)code;
	for (; left != 0; left >>= 8) {
		int byte = left & 0xff, of = byte & 15;
		struct mix_term t = {(enum mix_kind)(byte >> 4 & 3), of, byte >> 6 & 1};
		if (m->terms == MIX_TERMS || !(byte & 0x80) || of >= MIX_SOURCES + m->sums)
			return false;
		if (of >= MIX_SOURCES && t.kind == MIX_NORMALISED)
			return false;
		if (of < MIX_SOURCES) {
			if (used[of] && m->normalised[of] != (t.kind == MIX_NORMALISED))
				return false;
			if (of >= m->sources)
				m->sources = of + 1;
			used[of] = true;
			m->normalised[of] = t.kind == MIX_NORMALISED;
		}
		m->term[m->terms++] = t;
		m->sums += t.last;
	}
	for (int s = 0; s < m->sources; s++)
		if (!used[s])
			return false;
	return m->terms > 0 && m->term[m->terms - 1].last;
}

size_t mix_scratch(const struct mix *m) {
	size_t row = (size_t)(m->cols * m->channels), sums = (size_t)(m->sums - 1);
	return sums * (size_t)m->rows * row + 3 * row + row + 2 * (size_t)m->channels;
}

void mix_image(const struct mix *m, long image, float *scratch) { kernels_for(m->channels)->mix_image(m, image, scratch); }

void mix_masked(const float *x, float *y, long pixels, long channels) { kernels_for(channels)->mix_masked(x, y, pixels, channels); }

void mix_scaled(const float *sum, const float *factor, const float *offset, float *y, long pixels, long channels) {
	kernels_for(channels)->mix_scaled(sum, factor, offset, y, pixels, channels);
}
