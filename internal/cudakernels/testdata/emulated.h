// What conv.cu needs of CUDA, for a CPU: the threads of a block are fibers that take turns, and all of
// them run the same sequence of calls that wait for other threads.
#include <cstddef>
#include <cstdint>
#include <cstring>

#define __device__
#define __global__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __shared__ static
#define __align__(n) __attribute__((aligned(n)))

struct Index {
	unsigned x, y;
};
extern Index threadIdx, blockIdx;

// meet waits until all threads of the block have called it.
void meet();
inline void __syncthreads() { meet(); }

struct float2 {
	float x, y;
};
inline float2 make_float2(float x, float y) { return {x, y}; }

inline float __uint_as_float(uint32_t bits) {
	float x;
	memcpy(&x, &bits, 4);
	return x;
}

inline uint32_t __float_as_uint(float x) {
	uint32_t bits;
	memcpy(&bits, &x, 4);
	return bits;
}
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fsub_rn(float a, float b) { return a - b; }

// operand is what mma reads of an operand.
inline float operand(uint32_t bits) { return __uint_as_float(bits & ~0x1fffu); }

// exchange holds the operands of mma of each thread of a block.
struct Exchange {
	uint32_t a[4], b[2];
};
extern Exchange exchange[1024];

inline void mma(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
	memcpy(exchange[threadIdx.x].a, a, sizeof a);
	memcpy(exchange[threadIdx.x].b, b, sizeof b);
	meet();
	const Exchange *warp = exchange + threadIdx.x / 32 * 32;
	const int lane = threadIdx.x % 32;
	for (int e = 0; e < 4; e++) {
		int row = lane / 4 + e / 2 * 8, column = lane % 4 * 2 + e % 2;
		for (int k = 0; k < 8; k++)
			d[e] += operand(warp[row % 8 * 4 + k % 4].a[row / 8 + k / 4 * 2]) * operand(warp[column * 4 + k % 4].b[k / 4]);
	}
	meet();
}

template <int BYTES> inline void copy(float *to, const float *from, bool present) {
	if (present)
		memcpy(to, from, BYTES);
	else
		memset(to, 0, BYTES);
}
inline void commit() {}
inline void wait() {}
