// Vectors of float32 for the kernels' inner loops. The loops are written once, in files *_loops.h, and compiled
// for each instruction set: a .c file per set defines one of NB201_AVX2 and NB201_AVX512, or neither for
// plain C, and includes them. Vectors hold different numbers of floats, but each float goes through the same
// operations in the same order, so that the bits of results are equal.
//
// Tests define NB201_EMULATED: all sets then compute in plain C, on any processor, with vectors as long as
// the set's.

#ifndef NB201_LANES_H_
#define NB201_LANES_H_

#include <string.h>

// Products and sums are rounded separately unless lanes_fma fuses them, so that the bits do not
// depend on the compiler. (GCC does so anyway with -std=c11.)
#pragma STDC FP_CONTRACT OFF

// LANES is the number of floats of a vector, REGISTERS the number of vector registers, and NAMED(f) the name of
// the function f for this instruction set.
#if defined(NB201_AVX512)
#define NAMED(name) name##_avx512
enum { LANES = 16, REGISTERS = 32 };
#elif defined(NB201_AVX2)
#define NAMED(name) name##_avx2
enum { LANES = 8, REGISTERS = 16 };
#else
#define NAMED(name) name##_plain
#ifdef __aarch64__
enum { LANES = 4, REGISTERS = 32 };
#else
enum { LANES = 4, REGISTERS = 8 }; // and others for the steps of lanes_fma
#endif
#endif

// TARGET lets the compiler use the set's instructions in a function. The operators + - * / work on lanes.
#if defined(NB201_AVX512) && !defined(NB201_EMULATED)
#include <immintrin.h>
#define TARGET __attribute__((target("avx2,fma,avx512f")))
typedef __m512 lanes;
#elif defined(NB201_AVX2) && !defined(NB201_EMULATED)
#include <immintrin.h>
#define TARGET __attribute__((target("avx2,fma")))
typedef __m256 lanes;
#else
#include <math.h>
#include <stdint.h>
#define TARGET
typedef float lanes __attribute__((vector_size(4 * LANES)));
#endif

#define INLINED static inline __attribute__((always_inline, unused)) TARGET

INLINED lanes lanes_load(const float *x) {
	lanes v;
	memcpy(&v, x, sizeof v);
	return v;
}

INLINED void lanes_store(float *x, lanes v) { memcpy(x, &v, sizeof v); }

INLINED lanes lanes_zero(void) { return (lanes){0}; }

#if defined(NB201_AVX512) && !defined(NB201_EMULATED)

// lanes_all returns a float in all lanes.
INLINED lanes lanes_all(const float *x) { return _mm512_set1_ps(*x); }
// lanes_fma returns a*b + c, rounded once.
INLINED lanes lanes_fma(lanes a, lanes b, lanes c) { return _mm512_fmadd_ps(a, b, c); }
// lanes_relu returns 0 for negative floats, and other floats, -0 and NaN as they are.
INLINED lanes lanes_relu(lanes x) { return _mm512_max_ps(_mm512_setzero_ps(), x); }
// lanes_masked returns x where by is positive or NaN, and 0 elsewhere.
INLINED lanes lanes_masked(lanes x, lanes by) { return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(by, _mm512_setzero_ps(), _CMP_NLE_UQ), x); }

#elif defined(NB201_AVX2) && !defined(NB201_EMULATED)

INLINED lanes lanes_all(const float *x) { return _mm256_broadcast_ss(x); }
INLINED lanes lanes_fma(lanes a, lanes b, lanes c) { return _mm256_fmadd_ps(a, b, c); }
INLINED lanes lanes_relu(lanes x) { return _mm256_max_ps(_mm256_setzero_ps(), x); }
INLINED lanes lanes_masked(lanes x, lanes by) { return _mm256_and_ps(x, _mm256_cmp_ps(by, _mm256_setzero_ps(), _CMP_NLE_UQ)); }

#else

INLINED lanes lanes_all(const float *x) {
	lanes v;
	for (int i = 0; i < LANES; i++)
		v[i] = *x;
	return v;
}

#ifdef FP_FAST_FMAF

INLINED lanes lanes_fma(lanes a, lanes b, lanes c) {
	for (int i = 0; i < LANES; i++)
		c[i] = fmaf(a[i], b[i], c[i]);
	return c;
}

#else

typedef float halves __attribute__((vector_size(8)));
typedef double doubles __attribute__((vector_size(16)));
typedef int64_t integers __attribute__((vector_size(16)));

// lanes_fma computes the products exactly, in double, and the sums rounded to odd: to that of the two nearest
// doubles whose last bit is 1. Rounding that to float rounds the exact sum. It takes two floats at a time and no
// single ones, with which GCC 12 makes wrong code here (-ftree-slp-vectorize).
INLINED lanes lanes_fma(lanes a, lanes b, lanes c) {
	enum { PAIRS = LANES / 2 };
	halves of_a[PAIRS], of_b[PAIRS], of_c[PAIRS];
	memcpy(of_a, &a, sizeof a), memcpy(of_b, &b, sizeof b), memcpy(of_c, &c, sizeof c);
	for (int i = 0; i < PAIRS; i++) {
		doubles product = __builtin_convertvector(of_a[i], doubles) * __builtin_convertvector(of_b[i], doubles);
		doubles term = __builtin_convertvector(of_c[i], doubles), sum = product + term, of_term = sum - product;
		doubles error = (product - (sum - of_term)) + (term - of_term);
		integers bits = (integers)sum, is_inexact = (error > 0) | (error < 0), is_even = (bits & 1) - 1; // -1 or 0
		integers is_below = (error > 0) ^ (sum > 0); // the exact sum is closer to 0
		of_c[i] = __builtin_convertvector((doubles)(bits + (is_inexact & is_even & (is_below | 1))), halves);
	}
	memcpy(&c, of_c, sizeof c);
	return c;
}

#endif

INLINED lanes lanes_relu(lanes x) {
	for (int i = 0; i < LANES; i++)
		x[i] = x[i] < 0 ? 0 : x[i];
	return x;
}

INLINED lanes lanes_masked(lanes x, lanes by) {
	for (int i = 0; i < LANES; i++)
		x[i] = by[i] <= 0 ? 0 : x[i];
	return x;
}

#endif

// lanes_pair holds two sums for each lane, or factors of such sums: an even one and an odd one. With AVX2 they
// lie side by side, so that one load broadcasts two neighbouring floats, and elsewhere in a vector each.
typedef struct {
	lanes first, second;
} lanes_pair;

#if defined(NB201_AVX2) && !defined(NB201_EMULATED)

// lanes_zip returns the pair of an even and an odd vector.
INLINED lanes_pair lanes_zip(lanes even, lanes odd) { return (lanes_pair){_mm256_unpacklo_ps(even, odd), _mm256_unpackhi_ps(even, odd)}; }

// lanes_two returns x[0] in all even and x[1] in all odd factors.
INLINED lanes_pair lanes_two(const float *x) {
	double both;
	memcpy(&both, x, sizeof both);
	lanes v = _mm256_castpd_ps(_mm256_set1_pd(both));
	return (lanes_pair){v, v};
}

// lanes_joined returns the even sum plus the odd sum of each lane.
INLINED lanes lanes_joined(lanes_pair sums) {
	return _mm256_shuffle_ps(sums.first, sums.second, 0x88) + _mm256_shuffle_ps(sums.first, sums.second, 0xdd);
}

#else

INLINED lanes_pair lanes_zip(lanes even, lanes odd) { return (lanes_pair){even, odd}; }
INLINED lanes_pair lanes_two(const float *x) { return (lanes_pair){lanes_all(x), lanes_all(x + 1)}; }
INLINED lanes lanes_joined(lanes_pair sums) { return sums.first + sums.second; }

#endif

// A block of neighbouring channels that is processed at once has 1 to MOST_VECTORS vectors.
enum { MOST_VECTORS = 3 };

// vectors_at_once returns how many vectors of the channels that are left to process next: 2, or 3 if
// only one would remain after that, since a single vector keeps the processor less busy. The bits of a
// channel do not depend on its block.
static inline long vectors_at_once(long channels) {
	long left = channels / LANES;
	return left == 1 || left == 3 ? left : 2;
}

#endif
