// Runs the kernels of conv.cu on a CPU and compares them with the definition of what they compute.
#include <ucontext.h>

#include <cmath>
#include <cstdio>
#include <random>
#include <vector>

#include "../conv.cu"

Index threadIdx, blockIdx;
Exchange exchange[1024];

namespace {

ucontext_t scheduler, fibers[1024];
bool ended[1024];
std::vector<char> stacks[1024];

template <typename Body> void enter(unsigned body, unsigned high) {
	(*reinterpret_cast<Body *>(uintptr_t(body) | uintptr_t(high) << 32))();
	ended[threadIdx.x] = true;
}

// runBlock runs a block of threads.
template <typename Body> void runBlock(int threads, Body body) {
	for (int t = 0; t < threads; t++) {
		stacks[t].resize(1 << 16);
		ended[t] = false;
		getcontext(&fibers[t]);
		fibers[t].uc_stack.ss_sp = stacks[t].data();
		fibers[t].uc_stack.ss_size = stacks[t].size();
		fibers[t].uc_link = &scheduler;
		makecontext(&fibers[t], reinterpret_cast<void (*)()>(enter<Body>), 2, unsigned(uintptr_t(&body)), unsigned(uintptr_t(&body) >> 32));
	}
	for (int left = threads; left > 0;)
		for (int t = 0; t < threads; t++)
			if (!ended[t]) {
				threadIdx = {unsigned(t), 0};
				swapcontext(&scheduler, &fibers[t]);
				left -= ended[t];
			}
}

std::mt19937 generator(1);

std::vector<float> normal(size_t n) {
	std::normal_distribution<float> of;
	std::vector<float> values(n);
	for (float &v : values)
		v = of(generator);
	return values;
}

// at returns an element of a map [batch, C, S, S], or 0 outside it.
double at(const std::vector<float> &map, int C, int S, int b, int c, int y, int x) {
	return y < 0 || y >= S || x < 0 || x >= S ? 0 : map[((size_t(b) * C + c) * S + y) * S + x];
}

bool failed = false;

// report prints the largest deviation, relative to the sum of the products' magnitudes.
void report(const char *name, double off, double bound) {
	std::printf("%s: off by %.2g\n", name, off);
	if (!(off <= bound)) {
		std::printf("%s: off by more than %.2g\n", name, bound);
		failed = true;
	}
}

// further returns the larger one of off and the deviation of got; NaN counts as infinite.
double further(double off, double got, double want, double magnitude) {
	double share = std::abs(got - want) / (magnitude + 1e-30);
	return share <= off ? off : std::isnan(share) ? INFINITY : share;
}

template <typename Kernel> void conv(const char *name, Kernel kernel, int C, int S, int images, int rows, int threads, int T, double bound) {
	for (int order = 0; order < 2; order++) {
		const int batch = images + 1;
		auto x = normal(size_t(batch) * C * S * S), w = normal(C * T * T * C);
		std::vector<float> y(x.size(), NAN);
		for (int block = 0; block < (batch + images - 1) / images * (S / rows); block++) {
			blockIdx = {unsigned(block), 0};
			runBlock(threads, [&] { kernel(x.data(), w.data(), y.data(), batch, order); });
		}
		double off = 0;
		for (int b = 0; b < batch; b++)
			for (int n = 0; n < C; n++)
				for (int i = 0; i < S; i++)
					for (int j = 0; j < S; j++) {
						double sum = 0, magnitude = 0;
						for (int k = 0; k < C; k++)
							for (int t = 0; t < T * T; t++) {
								double term = at(x, C, S, b, k, i + t / T - T / 2, j + t % T - T / 2) * (order ? w[(k * T * T + t) * C + n] : w[(n * T * T + t) * C + k]);
								sum += term;
								magnitude += std::abs(term);
							}
						off = further(off, at(y, C, S, b, n, i, j), sum, magnitude);
					}
		report(name, off, bound);
	}
}

template <typename Kernel> void weightGrad(const char *name, Kernel kernel, int C, int S, int images, int threads, int parts, int T, double bound) {
	const int batch = images + 1, blocks = (batch + images - 1) / images;
	auto x = normal(size_t(batch) * C * S * S), dy = normal(size_t(batch) * C * S * S);
	std::vector<float> partial(size_t(blocks) * C * T * T * C, NAN);
	for (int block = 0; block < blocks; block++)
		for (int part = 0; part < parts; part++) {
			blockIdx = {unsigned(block), unsigned(part)};
			runBlock(threads, [&] { kernel(x.data(), dy.data(), partial.data(), batch); });
		}
	double off = 0;
	for (int n = 0; n < C; n++)
		for (int t = 0; t < T * T; t++)
			for (int k = 0; k < C; k++) {
				double sum = 0, magnitude = 0, got = 0;
				for (int b = 0; b < batch; b++)
					for (int i = 0; i < S; i++)
						for (int j = 0; j < S; j++) {
							double term = at(dy, C, S, b, n, i, j) * at(x, C, S, b, k, i + t / T - T / 2, j + t % T - T / 2);
							sum += term;
							magnitude += std::abs(term);
						}
				for (int block = 0; block < blocks; block++)
					got += partial[((size_t(block) * C + n) * T * T + t) * C + k];
				off = further(off, got, sum, magnitude);
			}
	report(name, off, bound);
}

} // namespace

void meet() { swapcontext(&fibers[threadIdx.x], &scheduler); }

int main() {
	const double fp32 = 2e-6, tf32 = 2e-3;
	// tf32 differs from fp32 in a parameter of its templates alone, and 1x1 taps are quick.
#undef CONV
#define CONV(C, S, IMGS, ROWS, THREADS)                                                                  \
	conv("conv_fp32_3_" #C "_" #S, conv_fp32_3_##C##_##S, C, S, IMGS, ROWS, THREADS, 3, fp32);           \
	conv("conv_fp32_1_" #C "_" #S, conv_fp32_1_##C##_##S, C, S, IMGS, ROWS, THREADS, 1, fp32);           \
	conv("conv_tf32_1_" #C "_" #S, conv_tf32_1_##C##_##S, C, S, IMGS, ROWS, THREADS, 1, tf32);
	CONVS
#undef WGRAD
#define WGRAD(C, S, IMGS, THREADS, PARTS)                                                                \
	weightGrad("wgrad_fp32_3_" #C "_" #S, wgrad_fp32_3_##C##_##S, C, S, IMGS, THREADS, PARTS, 3, fp32);  \
	weightGrad("wgrad_fp32_1_" #C "_" #S, wgrad_fp32_1_##C##_##S, C, S, IMGS, THREADS, PARTS, 1, fp32);  \
	weightGrad("wgrad_tf32_1_" #C "_" #S, wgrad_tf32_1_##C##_##S, C, S, IMGS, THREADS, PARTS, 1, tf32);
	WGRADS
	return failed;
}
