#include "sets.h"

#include <stdlib.h>
#include <string.h>

#if defined(NB201_EMULATED)

static bool has_avx2(void) { return true; }
static bool has_avx512(void) { return true; }

#elif defined(__x86_64__)

#include <cpuid.h>

// The registers that the system saves, bits of XCR0: those of SSE and AVX, and AVX-512's masks and halves.
enum { YMM = 1 << 1 | 1 << 2, ZMM = YMM | 1 << 5 | 1 << 6 | 1 << 7 };

// has reports whether the processor has FMA and a feature, a bit of EBX of cpuid's leaf 7, and the system
// saves these registers. It asks the processor, since __builtin_cpu_supports denies that it has AVX2
// when built with Zig's runtime library.
static bool has(unsigned feature, unsigned registers) {
	unsigned a, b, c, d;
	if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE) || !(c & bit_FMA))
		return false;
	unsigned saved, high;
	__asm__("xgetbv" : "=a"(saved), "=d"(high) : "c"(0));
	return (saved & registers) == registers && __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & feature);
}

static bool has_avx2(void) { return has(bit_AVX2, YMM); }
static bool has_avx512(void) { return has_avx2() && has(bit_AVX512F, ZMM); }

#endif

static bool has_plain(void) { return true; }

// sets lists the sets, the best first. Each needs what the following ones need, and the last has the
// shortest vectors, which divide CHANNELS.
static const struct {
	const struct kernel_set *set;
	bool (*has)(void);
} sets[] = {
#if defined(__x86_64__) || defined(NB201_EMULATED)
	{&kernels_avx512, has_avx512},
	{&kernels_avx2, has_avx2},
#endif
	{&kernels_plain, has_plain},
};

enum { SETS = sizeof sets / sizeof *sets };

// chosen is the place in sets of the set that this process uses. It does not change after the start.
static int chosen;

bool kernels_has(const char *name) {
	for (int i = 0; i < SETS; i++)
		if (strcmp(sets[i].set->name, name) == 0)
			return sets[i].has();
	return false;
}

__attribute__((constructor)) static void choose(void) {
	const char *name = getenv("NB201_KERNELS");
	bool named = name != NULL && kernels_has(name);
	while (named ? strcmp(sets[chosen].set->name, name) != 0 : !sets[chosen].has())
		chosen++;
}

const struct kernel_set *kernels_chosen(void) { return sets[chosen].set; }

const struct kernel_set *kernels_for(long channels) {
	int i = chosen;
	while (channels % sets[i].set->lanes != 0)
		i++;
	return sets[i].set;
}
