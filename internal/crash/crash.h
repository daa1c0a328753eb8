#ifndef NB201_CRASH_H_
#define NB201_CRASH_H_

// crash_watch gives the sentence its subject and its advice, and takes over SIGABRT and SIGILL.
void crash_watch(const char *library, const char *advice);

// crash_suspect makes a crash remove the file at path. It keeps path.
void crash_suspect(const char *path);

#endif
