// Shared libraries of NVIDIA's, loaded for the process.

#ifndef NB201_LIBRARY_H_
#define NB201_LIBRARY_H_

// library_load loads the library at path. It returns NULL, or the loader's complaint, which
// the caller frees.
char *library_load(const char *path);

// library_driver loads the CUDA driver's library as XLA does. It returns the library's path,
// which the caller frees, or NULL where the loader finds none.
char *library_driver(void);

#endif
