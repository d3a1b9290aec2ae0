// Threads that kernels are divided among, and the scratch memory of each.

#ifndef TVMOPT_THREADS_H_
#define TVMOPT_THREADS_H_

#include <stdint.h>

namespace tvmopt {

class Pool;

// Starts `threads - 1` threads that wait for work; null when they cannot be had.
Pool* StartPool(int32_t threads);
void StopPool(Pool* pool);

// The pool that parallel loops of this thread's kernels use from now on.
void UsePool(Pool* pool);

// What the last failing kernel said, on whichever thread; cleared by reading.
const char* TakeError();

}  // namespace tvmopt

#endif  // TVMOPT_THREADS_H_
