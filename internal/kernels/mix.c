#include "mix.h"

#include "sets.h"

bool mix_read(int64_t code, struct mix *m) {
	*m = (struct mix){0};
	bool used[MIX_SOURCES] = {false};
	uint64_t left = (uint64_t)code;
	for (; left != 0; left >>= 8) {
		int byte = left & 0xff, of = byte & 15;
		struct mix_term t = {.kind = (enum mix_kind)(byte >> 4 & 7), .of = of, .last = byte >> 7};
		if (m->terms == MIX_TERMS || t.kind < MIX_ITSELF || t.kind > MIX_CONVOLVED || of >= MIX_SOURCES + m->sums)
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

bool mix_begin(struct mix *m) {
	m->group = 1;
	for (int i = 0; i < m->terms; i++) {
		struct convolution *c = &m->term[i].convolution;
		if (m->term[i].kind != MIX_CONVOLVED)
			continue;
		if (!convolution_prepare(c, c->weights))
			return false;
		if (c->group > m->group)
			m->group = c->group;
	}
	return true;
}

void mix_end(struct mix *m) {
	for (int i = 0; i < m->terms; i++)
		convolution_free(&m->term[i].convolution);
}

// parts says where the parts of scratch memory begin, after the rows that averages need, and how large it is.
struct parts {
	size_t sums;       // those before the last
	size_t convolved;  // a map before its normalisation
	size_t of_taps[4]; // for convolutions, by their number of taps
	size_t end;
};

static struct parts parts_of(const struct mix *m) {
	size_t row = (size_t)(m->cols * m->channels), maps = (size_t)(m->group * m->rows) * row;
	struct parts p = {0};
	p.sums = aligned(4 * row + 2 * (size_t)m->channels);
	p.end = p.convolved = p.sums + (size_t)(m->sums - 1) * maps;
	for (int i = 0; i < m->terms; i++) {
		const struct mix_term *t = &m->term[i];
		size_t *begin = &p.of_taps[t->convolution.shape.taps];
		if (t->kind != MIX_CONVOLVED || *begin != 0)
			continue;
		if (p.end == p.convolved)
			p.end += maps;
		*begin = aligned(p.end);
		p.end = *begin + convolution_scratch(&t->convolution);
	}
	return p;
}

size_t mix_scratch(const struct mix *m) { return parts_of(m).end; }

void mix_group(const struct mix *m, long group, float *scratch) {
	const struct kernel_set *set = kernels_for(m->channels);
	struct parts p = parts_of(m);
	long size = m->rows * m->cols * m->channels, begin = group * m->group * size;
	long images = in_group(m->images, m->group, group), pixels = images * m->rows * m->cols;
	int made = 0;
	bool first = true;
	for (int i = 0; i < m->terms; i++) {
		const struct mix_term *t = &m->term[i];
		const float *x = t->of < MIX_SOURCES ? m->source[t->of] + begin : scratch + p.sums + (t->of - MIX_SOURCES) * m->group * size;
		float *y = made < m->sums - 1 ? scratch + p.sums + made * m->group * size : m->result + begin;
		switch (t->kind) {
		case MIX_NORMALISED:
			set->mix_normalised(first, x, m->factor[t->of], m->offset[t->of], y, pixels, m->channels);
			break;
		case MIX_CONVOLVED:
			convolution_images(&t->convolution, x, scratch + p.convolved, images, scratch + p.of_taps[t->convolution.shape.taps]);
			set->mix_normalised(first, scratch + p.convolved, t->factor, t->offset, y, pixels, m->channels);
			break;
		default:
			for (long k = 0; k < images; k++)
				set->mix_term(m, t->kind, first, x + k * size, y + k * size, scratch);
		}
		first = t->last;
		made += t->last;
	}
}

void mix_masked(const float *x, float *y, long pixels, long channels) { kernels_for(channels)->mix_masked(x, y, pixels, channels); }
