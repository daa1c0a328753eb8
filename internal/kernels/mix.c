#include "mix.h"

#include "sets.h"

_Static_assert(MIX_TERMS <= ADDENDS, "a sum has more terms than a loop can add");

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
	size_t of_taps[4]; // for convolutions, by their number of taps
	size_t end;
};

static struct parts parts_of(const struct mix *m) {
	size_t row = (size_t)(m->cols * m->channels), maps = (size_t)(m->group * m->rows) * row;
	struct parts p = {0};
	p.sums = aligned(3 * row);
	p.end = p.sums + (size_t)(m->sums - 1) * maps;
	for (int i = 0; i < m->terms; i++) {
		const struct mix_term *t = &m->term[i];
		size_t *begin = &p.of_taps[t->convolution.shape.taps];
		if (t->kind != MIX_CONVOLVED || *begin != 0)
			continue;
		*begin = aligned(p.end);
		p.end = *begin + convolution_scratch(&t->convolution);
	}
	return p;
}

size_t mix_scratch(const struct mix *m) { return parts_of(m).end; }

// sum is the state of a sum.
struct sum {
	const struct mix_term *next; // the first term that is not in it, or NULL if it is complete
	const float *so_far;         // the terms before: y, or the only one
	float *y;
};

// work is the computation of a group of images.
struct work {
	const struct mix *mix;
	long images;
	float *scratch;
	struct parts parts;
	struct sum sum[MIX_TERMS];
	const float *source[MIX_SOURCES];
};

// map_of returns a map that terms may read, or NULL while it is not complete.
static const float *map_of(const struct work *w, int of) {
	if (of < MIX_SOURCES)
		return w->source[of];
	const struct sum *s = &w->sum[of - MIX_SOURCES];
	return s->next == NULL ? s->y : NULL;
}

// step goes to the next term of a sum.
static void step(struct sum *s) { s->next = s->next->last ? NULL : s->next + 1; }

// take returns the next term of a sum, and says in f what to do with it: add it to the terms before, and add those behind
// it that are complete maps. It returns NULL if the term waits to be added to the next one.
static const struct mix_term *take(const struct work *w, struct sum *s, struct finish *f) {
	const struct mix_term *t = s->next;
	step(s);
	if (t->kind == MIX_ITSELF && s->so_far == NULL && !t->last) {
		s->so_far = map_of(w, t->of);
		return NULL;
	}
	*f = (struct finish){.y = s->y};
	if (s->so_far != NULL)
		f->addend[f->addends++] = s->so_far;
	for (; s->next != NULL && s->next->kind == MIX_ITSELF && map_of(w, s->next->of) != NULL; step(s))
		f->addend[f->addends++] = map_of(w, s->next->of);
	s->so_far = s->y;
	switch (t->kind) {
	case MIX_NORMALISED:
		f->factor = w->mix->factor[t->of], f->offset = w->mix->offset[t->of];
		break;
	case MIX_CONVOLVED:
		f->factor = t->factor, f->offset = t->offset;
		break;
	default:
		break;
	}
	return t;
}

// convolve adds a convolved term t to a sum. To each sum behind it whose next term convolves the same map with as many
// taps, it adds that term too, so that the map is padded and transformed once.
static void convolve(struct work *w, const struct mix_term *t, struct sum *s, const struct finish *of_t) {
	const struct convolution *c = &t->convolution;
	long taps = c->shape.taps;
	struct finish finish[MIX_TERMS];
	struct conv_output outputs[MIX_TERMS] = {{c->weights, s->y, of_t}};
	int n = 1;
	for (s++; s < w->sum + w->mix->sums; s++)
		if (s->next != NULL && s->next->kind == MIX_CONVOLVED && s->next->of == t->of && s->next->convolution.shape.taps == taps) {
			const float *weights = s->next->convolution.weights;
			take(w, s, &finish[n]);
			outputs[n] = (struct conv_output){weights, s->y, &finish[n]};
			n++;
		}
	convolution_images(c, map_of(w, t->of), w->images, outputs, n, w->scratch + w->parts.of_taps[taps]);
}

// add adds the next term to a sum, and terms behind it.
static void add(struct work *w, struct sum *s) {
	const struct mix *m = w->mix;
	const struct kernel_set *set = kernels_for(m->channels);
	struct finish f;
	const struct mix_term *t = take(w, s, &f);
	if (t == NULL)
		return;
	const float *x = map_of(w, t->of);
	long size = m->rows * m->cols * m->channels;
	switch (t->kind) {
	case MIX_CONVOLVED:
		convolve(w, t, s, &f);
		break;
	case MIX_AVERAGE:
	case MIX_AVERAGE_BACK:
		for (long k = 0; k < w->images; k++)
			set->mix_average(m, t->kind == MIX_AVERAGE_BACK, x + k * size, s->y + k * size, &f, w->scratch);
		break;
	default:
		set->mix_itself(x, s->y, w->images * m->rows * m->cols, m->channels, &f);
	}
}

void mix_group(const struct mix *m, long group, float *scratch) {
	long size = m->rows * m->cols * m->channels, begin = group * m->group * size;
	struct work w = {.mix = m, .images = in_group(m->images, m->group, group), .scratch = scratch, .parts = parts_of(m)};
	for (int s = 0; s < m->sources; s++)
		w.source[s] = m->source[s] + begin;
	const struct mix_term *first = m->term;
	for (int s = 0; s < m->sums; s++) {
		w.sum[s] = (struct sum){.next = first, .y = s < m->sums - 1 ? scratch + w.parts.sums + s * m->group * size : m->result + begin};
		while (!(first++)->last) {
		}
	}
	// All terms of a map are added before those of the next one, so that convolve finds them.
	while (w.sum[m->sums - 1].next != NULL)
		for (int of = 0; of < MIX_SOURCES + m->sums; of++)
			for (struct sum *s = w.sum; s < w.sum + m->sums && map_of(&w, of) != NULL; s++)
				while (s->next != NULL && s->next->of == of)
					add(&w, s);
}
