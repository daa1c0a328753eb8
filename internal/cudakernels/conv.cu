// Convolutions of square maps of 16, 32 and 64 channels, stride 1, as matrix products on tensor
// cores (mma.sync, compute capability 8.0 and higher).
//
// fp32: each float32 operand is split into two TF32 numbers, x = big + small, which hold 22 of its
// 24 bits; a product is big*big + big*small + small*big, summed in float32. tf32: big*big alone.
//
// A block keeps the pixels that it needs, with a border of zeros, in shared memory, and reads every
// operand of the products from there. Maps are [batch, C, S, S], row-major: XLA's other kernels,
// above all the sums of batch normalisation, are faster in this layout. NOTE FOR THE SEAM: the
// layouts of the maps in the custom call are therefore minor-to-major [2, 1, 3, 0] for the logical
// [N, H, W, C]; weights and partial sums stay row-major.
#include <cstdint>

#include "shapes.h"

#ifndef __CUDACC__
#include "emulated.h" // a CPU runs the kernels, to test them
#endif

namespace {

#ifdef __CUDACC__

// mma adds the product of a 16x8 and an 8x8 matrix, spread over the threads of a warp, to d.
__device__ __forceinline__ void mma(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
	asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
	    : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
	    : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// copy copies BYTES (4 or 16) bytes to shared memory, or zeros, without waiting.
template <int BYTES> __device__ __forceinline__ void copy(float *to, const float *from, bool present) {
	uint32_t shared = uint32_t(__cvta_generic_to_shared(to));
	if constexpr (BYTES == 16)
		asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared), "l"(from), "r"(present ? 16 : 0));
	else
		asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(shared), "l"(from), "r"(present ? 4 : 0));
}

__device__ __forceinline__ void commit() { asm volatile("cp.async.commit_group;"); }
__device__ __forceinline__ void wait() { asm volatile("cp.async.wait_all;" ::: "memory"); }
#endif

// rounded rounds to the 11 bits of a TF32 number, as T. J. Dekker's splitting does (Numerische
// Mathematik 18, 1971): the instruction cvt.rna.tf32 has an eighth of an addition's throughput.
// NaN stays NaN; what is infinite, or greater than 2^114, becomes NaN.
__device__ __forceinline__ float rounded(float x) {
	float scaled = __fmul_rn(x, 8193);
	return __fsub_rn(scaled, __fsub_rn(scaled, x));
}

// Operand holds N registers of an operand of mma.sync, split into two parts if SPLIT. mma.sync
// ignores the last 13 bits of small; as small may have either sign, that is no bias.
template <int N, bool SPLIT> struct Operand {
	uint32_t big[N], small[SPLIT ? N : 1];

	__device__ __forceinline__ void set(int i, float x) {
		float part = rounded(x);
		big[i] = __float_as_uint(part);
		if constexpr (SPLIT)
			small[i] = __float_as_uint(__fsub_rn(x, part));
	}
};

// multiply adds the product of a 16x8 and an 8x8 matrix to a 16x8 one, the small terms first.
template <bool SPLIT>
__device__ __forceinline__ void multiply(float (&d)[4], const Operand<4, SPLIT> &a, const Operand<2, SPLIT> &b) {
	if constexpr (SPLIT) {
		mma(d, a.small, b.big);
		mma(d, a.big, b.small);
	}
	mma(d, a.big, b.big);
}

// Tile is a tile of ROWS rows of IMGS images in shared memory, channel by channel, with a border of
// HALO pixels of zeros or neighbours. Channels are PITCH apart, which is BANK modulo 32.
template <int C, int S, int IMGS, int ROWS, int HALO, int BANK> struct Tile {
	static constexpr int height = ROWS + 2 * HALO, width = S + 2 * HALO, area = IMGS * height * width;
	static constexpr int pitch = area + (32 + BANK - area % 32) % 32, size = C * pitch;

	// offset returns where the pixel m of the tile lies in a channel, counted without the border,
	// seen from the upper left corner of its neighbourhood.
	static __device__ __forceinline__ int offset(int m) { return (m / (ROWS * S) * height + m / S % ROWS) * width + m % S; }

	// load starts copying the channels from first on of a map that has CHANNELS.
	template <int THREADS, int CHANNELS>
	static __device__ __forceinline__ void load(float *tile, const float *map, int batch, int image, int row, int first) {
		constexpr int vector = HALO == 0 ? 4 : 1, total = C * area / vector;
#pragma unroll 4
		for (int i = threadIdx.x; i < total; i += THREADS) {
			int p = i % (area / vector) * vector, c = i / (area / vector);
			int x = p % width - HALO, y = p / width % height + row - HALO, b = p / (width * height) + image;
			bool present = b < batch && y >= 0 && y < S && x >= 0 && x < S;
			size_t at = ((size_t(b) * CHANNELS + first + c) * S + y) * S + x;
			copy<4 * vector>(tile + c * pitch + p, map + (present ? at : 0), present);
		}
	}
};

// Conv computes y[p, n] = sum over t, k of x[p+t, k] w[t, k, n] for one tile. REVERSED says which
// channels of the weights come first in memory: [n][t][k], or [k][t][n].
template <int C, int S, int IMGS, int ROWS, int THREADS, int TAPS, bool SPLIT> struct Conv {
	using Pixels = Tile<C, S, IMGS, ROWS, TAPS / 2, 8>; // 4 channels of 8 pixels lie in 32 banks
	static constexpr int pixels = IMGS * ROWS * S, warps = THREADS / 32;
	static constexpr int down = pixels / 32, across = warps / down, tiles = C / across / 8; // a warp has 32 pixels
	static constexpr int group = C == 16 ? TAPS * TAPS : 1;                                  // taps of a stage
	static constexpr int depth = C < 32 ? C : 32;                                            // channels of a stage
	static constexpr int stages = TAPS * TAPS / group * (C / depth), buffers = stages > 1 ? 2 : 1;
	static constexpr int straight = C * (depth + 4), crosswise = depth * (C + 8), tapSize = straight > crosswise ? straight : crosswise;
	static_assert(pixels % 32 == 0 && warps % down == 0 && C % (8 * across) == 0, "the warps cover the tile");
	static constexpr int shared = Pixels::size + buffers * group * tapSize;
	static_assert(shared * 4 <= 48 << 10, "shared memory");

	template <bool REVERSED> static __device__ __forceinline__ void load(float *weights, const float *w, int stage) {
		constexpr int rows = REVERSED ? depth : C, columns = REVERSED ? C : depth, pitch = REVERSED ? C + 8 : depth + 4;
		constexpr int vectors = columns / 4, total = group * rows * vectors;
		int tap = stage / (C / depth) * group, channel = stage % (C / depth) * depth;
#pragma unroll 4
		for (int i = threadIdx.x; i < total; i += THREADS) {
			int v = i % vectors, r = i / vectors % rows, t = i / vectors / rows;
			int from = REVERSED ? ((channel + r) * TAPS * TAPS + tap + t) * C + 4 * v : (r * TAPS * TAPS + tap + t) * C + channel + 4 * v;
			copy<16>(weights + t * tapSize + r * pitch + 4 * v, w + from, true);
		}
	}

	template <bool REVERSED> static __device__ __forceinline__ void run(float *shared, const float *x, const float *w, float *y, int batch) {
		float *const map = shared, *const weights[2] = {shared + Pixels::size, shared + Pixels::size + (buffers - 1) * group * tapSize};
		const int lane = threadIdx.x % 32, quad = lane / 4, place = lane % 4, warp = threadIdx.x / 32;
		const int first = warp % down * 32, column = warp / down * (8 * tiles);
		const int image = blockIdx.x / (S / ROWS) * IMGS, row = blockIdx.x % (S / ROWS) * ROWS;
		Pixels::template load<THREADS, C>(map, x, batch, image, row, 0);
		load<REVERSED>(weights[0], w, 0);
		commit();

		int at[2][2]; // of two rows of two 16x8 matrices
#pragma unroll
		for (int i = 0; i < 4; i++)
			at[i / 2][i % 2] = Pixels::offset(first + 8 * i + quad) + place * Pixels::pitch;
		float sums[2][tiles][4] = {};
#pragma unroll 1
		for (int stage = 0; stage < stages; stage++) {
			wait();
			__syncthreads(); // the stage has arrived, and nobody needs the one before
			if (stage + 1 < stages) {
				load<REVERSED>(weights[(stage + 1) % buffers], w, stage + 1);
				commit();
			}
			const float *b = weights[stage % buffers] + (REVERSED ? place * (C + 8) + column + quad : (column + quad) * (depth + 4) + place);
			const int channel = stage % (C / depth) * depth;
#pragma unroll
			for (int t = 0; t < group; t++) {
				const int tap = stage / (C / depth) * group + t;
				const float *a = map + tap / TAPS * Pixels::width + tap % TAPS + channel * Pixels::pitch;
				float part[2][tiles][4] = {}; // of the tap: tensor cores cut sums off instead of rounding them
#pragma unroll 2
				for (int k = 0; k < depth; k += 8) {
					Operand<4, SPLIT> left[2];
#pragma unroll
					for (int i = 0; i < 2; i++)
#pragma unroll
						for (int e = 0; e < 4; e++)
							left[i].set(e, a[at[i][e % 2] + (k + e / 2 * 4) * Pixels::pitch]);
#pragma unroll
					for (int j = 0; j < tiles; j++) {
						Operand<2, SPLIT> right;
#pragma unroll
						for (int e = 0; e < 2; e++)
							right.set(e, b[t * tapSize + (REVERSED ? (k + 4 * e) * (C + 8) + 8 * j : 8 * j * (depth + 4) + k + 4 * e)]);
#pragma unroll
						for (int i = 0; i < 2; i++)
							multiply(part[i][j], left[i], right);
					}
				}
#pragma unroll
				for (int i = 0; i < 2 * tiles * 4; i++)
					sums[i / 4 / tiles][i / 4 % tiles][i % 4] += part[i / 4 / tiles][i / 4 % tiles][i % 4];
			}
		}
#pragma unroll
		for (int i = 0; i < 4; i++) {
			int m = first + 8 * i + quad, b = image + m / (ROWS * S);
			if (b >= batch)
				continue;
			float *to = y + ((size_t(b) * C + column + 2 * place) * S + row + m / S % ROWS) * S + m % S;
#pragma unroll
			for (int j = 0; j < tiles; j++)
#pragma unroll
				for (int e = 0; e < 2; e++)
					to[(8 * j + e) * S * S] = sums[i / 2][j][i % 2 * 2 + e];
		}
	}
};

// WeightGrad computes partial[n, t, k] = sum over the pixels p of IMGS images of dy[p, n] x[p+t, k],
// for C/PARTS of the channels n.
template <int C, int S, int IMGS, int THREADS, int PARTS, int TAPS, bool SPLIT> struct WeightGrad {
	static constexpr int out = C / PARTS;                                           // channels n of a block
	static constexpr int together = S == 4 ? 2 : 1, rows = S == 32 ? 4 : S == 16 ? 128 / C : S; // of a tile
	using Pixels = Tile<C, S, together, rows, TAPS / 2, 4>; // 4 pixels of 8 channels lie in 32 banks
	using Gradients = Tile<out, S, together, rows, 0, 4>;
	static constexpr int pixels = together * rows * S, warps = THREADS / 32;
	static constexpr int down = out / 16, across = C / 8, shares = warps / (down * across); // of the pixels
	static constexpr int tile = TAPS * TAPS * 128, all = down * across * tile;
	static constexpr int loaded = Pixels::size + Gradients::size, shared = shares > 1 && all > loaded ? all : loaded;
	static_assert(warps % (down * across) == 0 && pixels / 8 % shares == 0 && IMGS % together == 0, "the warps cover the tile");
	static_assert(shared * 4 <= 48 << 10, "shared memory");

	static __device__ __forceinline__ void run(const float *x, const float *dy, float *partial, int batch) {
		__shared__ __align__(16) float memory[shared];
		float *const map = memory, *const gradients = memory + Pixels::size;
		const int lane = threadIdx.x % 32, quad = lane / 4, place = lane % 4, warp = threadIdx.x / 32;
		const int m = warp % down * 16, n = warp / down % across * 8, share = warp / (down * across);
		const int channel = blockIdx.y * out;
		float sums[TAPS * TAPS][4] = {};
#pragma unroll 1
		for (int i = 0; i < IMGS; i += together) {
			const int image = blockIdx.x * IMGS + i;
			if (image >= batch)
				break;
#pragma unroll 1
			for (int row = 0; row < S; row += rows) {
				Pixels::template load<THREADS, C>(map, x, batch, image, row, 0);
				Gradients::template load<THREADS, C>(gradients, dy, batch, image, row, channel);
				commit();
				wait();
				__syncthreads();
#pragma unroll 1
				for (int p = share * 8; p < pixels; p += shares * 8) {
					Operand<4, SPLIT> left;
#pragma unroll
					for (int e = 0; e < 4; e++)
						left.set(e, gradients[(m + quad + e % 2 * 8) * Gradients::pitch + p + place + e / 2 * 4]);
					const float *b[2];
#pragma unroll
					for (int e = 0; e < 2; e++)
						b[e] = map + (n + quad) * Pixels::pitch + Pixels::offset(p + place + 4 * e);
#pragma unroll
					for (int t = 0; t < TAPS * TAPS; t++) {
						Operand<2, SPLIT> right;
#pragma unroll
						for (int e = 0; e < 2; e++)
							right.set(e, b[e][t / TAPS * Pixels::width + t % TAPS]);
						multiply(sums[t], left, right);
					}
				}
				__syncthreads();
			}
		}
		// The shares of the pixels are added in order.
		float *const mine = memory + (warp % (down * across)) * tile + lane;
#pragma unroll 1
		for (int s = 1; s < shares; s++) {
			if (share == s)
#pragma unroll
				for (int t = 0; t < TAPS * TAPS * 4; t++)
					mine[t * 32] = sums[t / 4][t % 4];
			__syncthreads();
			if (share == 0)
#pragma unroll
				for (int t = 0; t < TAPS * TAPS * 4; t++)
					sums[t / 4][t % 4] += mine[t * 32];
			__syncthreads();
		}
		if (share != 0)
			return;
		float *to = partial + (size_t(blockIdx.x) * C + channel + m + quad) * (TAPS * TAPS * C) + n + 2 * place;
#pragma unroll
		for (int t = 0; t < TAPS * TAPS; t++)
#pragma unroll
			for (int e = 0; e < 2; e++)
				*reinterpret_cast<float2 *>(to + (8 * e * TAPS * TAPS + t) * C) = make_float2(sums[t][2 * e], sums[t][2 * e + 1]);
	}
};

} // namespace

#define CONV_KERNEL(NAME, C, S, IMGS, ROWS, THREADS, TAPS, SPLIT)                                               \
	extern "C" __global__ void __launch_bounds__(THREADS) NAME(const float *x, const float *w, float *y, int batch, int order) { \
		using K = Conv<C, S, IMGS, ROWS, THREADS, TAPS, SPLIT>;                                                 \
		__shared__ __align__(16) float shared[K::shared];                                                       \
		if (order == 0)                                                                                         \
			K::run<false>(shared, x, w, y, batch);                                                              \
		else                                                                                                    \
			K::run<true>(shared, x, w, y, batch);                                                                 \
	}
#define CONV(C, S, IMGS, ROWS, THREADS)                                        \
	CONV_KERNEL(conv_fp32_3_##C##_##S, C, S, IMGS, ROWS, THREADS, 3, true)     \
	CONV_KERNEL(conv_fp32_1_##C##_##S, C, S, IMGS, ROWS, THREADS, 1, true)     \
	CONV_KERNEL(conv_tf32_3_##C##_##S, C, S, IMGS, ROWS, THREADS, 3, false)    \
	CONV_KERNEL(conv_tf32_1_##C##_##S, C, S, IMGS, ROWS, THREADS, 1, false)
CONVS

#define WGRAD_KERNEL(NAME, C, S, IMGS, THREADS, PARTS, TAPS, SPLIT)                                             \
	extern "C" __global__ void __launch_bounds__(THREADS) NAME(const float *x, const float *dy, float *partial, int batch) { \
		WeightGrad<C, S, IMGS, THREADS, PARTS, TAPS, SPLIT>::run(x, dy, partial, batch);                        \
	}
#define WGRAD(C, S, IMGS, THREADS, PARTS)                                      \
	WGRAD_KERNEL(wgrad_fp32_3_##C##_##S, C, S, IMGS, THREADS, PARTS, 3, true)  \
	WGRAD_KERNEL(wgrad_fp32_1_##C##_##S, C, S, IMGS, THREADS, PARTS, 1, true)  \
	WGRAD_KERNEL(wgrad_tf32_3_##C##_##S, C, S, IMGS, THREADS, PARTS, 3, false) \
	WGRAD_KERNEL(wgrad_tf32_1_##C##_##S, C, S, IMGS, THREADS, PARTS, 1, false)
WGRADS
