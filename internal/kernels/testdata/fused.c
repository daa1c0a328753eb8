// Compares lanes_fma in plain C with fmaf: on random bits, on numbers of similar sizes, and where
// the exact result lies halfway between two floats, or close to that.

#include "../lanes.h"

#include <stdio.h>

static uint64_t seed = 1;

static uint32_t drawn(void) {
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(seed >> 32);
}

static float of_bits(uint32_t bits) {
	float x;
	memcpy(&x, &bits, sizeof x);
	return x;
}

// near_1 returns a float from 2^-e to 2^e, of any sign, whose significand has this many bits.
static float near_1(int e, int bits) {
	uint32_t sign = drawn() & 0x80000000u, exponent = 127 + drawn() % (uint32_t)(2 * e) - (uint32_t)e;
	return of_bits(sign | exponent << 23 | (drawn() & (0x7fffffu << (24 - bits))));
}

static int wrong;

static void compare(float a, float b, float c) {
	lanes all = lanes_fma(lanes_all(&a), lanes_all(&b), lanes_all(&c));
	float got = all[drawn() % LANES], want = fmaf(a, b, c);
	if (memcmp(&got, &want, sizeof got) != 0 && !(isnan(got) && isnan(want)) && wrong++ < 10)
		printf("lanes_fma(%a, %a, %a) is %a, not %a\n", (double)a, (double)b, (double)c, (double)got, (double)want);
}

int main(void) {
	static const float extremes[] = {0, 1, 0x1p-149f, 0x1p-126f, 0x1.fffffcp-127f, 0x1.fffffep127f, 0x1p127f, 0x1p-63f, 0x1p-75f, 0x1.000002p0f, INFINITY, NAN};
	enum { EXTREMES = sizeof extremes / sizeof *extremes };
	for (int i = 0; i < EXTREMES; i++)
		for (int j = 0; j < EXTREMES; j++)
			for (int k = 0; k < EXTREMES; k++)
				for (int signs = 0; signs < 8; signs++)
					compare(signs & 1 ? -extremes[i] : extremes[i], signs & 2 ? -extremes[j] : extremes[j], signs & 4 ? -extremes[k] : extremes[k]);
	for (int i = 0; i < 2000000; i++) {
		compare(of_bits(drawn()), of_bits(drawn()), of_bits(drawn()));
		compare(near_1(4, 24), near_1(4, 24), near_1(8, 24));
		compare(near_1(2, 13), near_1(2, 13), near_1(30, 24)); // products of 25 or 26 bits: ties
		compare(near_1(70, 24), near_1(70, 24), near_1(126, 24) * 0x1p-20f); // results without all their bits
	}
	return wrong > 0;
}
