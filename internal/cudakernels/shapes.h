// The instances of the kernels in conv.cu.
//
//   CONV(C, S, IMGS, ROWS, THREADS)      maps of S x S pixels with C channels, before and after; a
//                                        block of THREADS computes ROWS rows of IMGS images
//   WGRAD(C, S, IMGS, THREADS, SPLIT)    a block sums over IMGS images, for C/SPLIT of the channels
//                                        of the output (the grid's second dimension)
#define CONVS        \
	CONV(16, 32, 1, 4, 128) \
	CONV(16, 16, 1, 8, 128) \
	CONV(32, 16, 1, 8, 256) \
	CONV(32, 8, 2, 8, 256)  \
	CONV(64, 8, 1, 8, 256)  \
	CONV(64, 4, 2, 4, 128)

#define WGRADS        \
	WGRAD(16, 32, 1, 256, 1) \
	WGRAD(16, 16, 2, 256, 1) \
	WGRAD(32, 16, 2, 512, 1) \
	WGRAD(32, 8, 4, 512, 1)  \
	WGRAD(64, 8, 8, 512, 4)  \
	WGRAD(64, 4, 16, 512, 4)
