// Loading NVIDIA's shared libraries for the life of the process.

#ifndef NB201_LIBRARY_H_
#define NB201_LIBRARY_H_

// library_load loads the library at path. It returns NULL, or the loader's error message, which the
// caller frees.
char *library_load(const char *path);

// library_driver loads the CUDA driver's library as XLA does. It returns the library's path, which
// the caller frees, or NULL if the loader finds no such library.
char *library_driver(void);

#endif
