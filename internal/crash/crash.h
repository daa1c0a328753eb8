#ifndef NB201_CRASH_H_
#define NB201_CRASH_H_

// crash_watch sets the library and the advice in the sentence of a crash, and installs the
// handlers of SIGABRT and SIGILL.
void crash_watch(const char *library, const char *advice);

// crash_suspect makes a crash remove the file at path. path must stay valid.
void crash_suspect(const char *path);

#endif
