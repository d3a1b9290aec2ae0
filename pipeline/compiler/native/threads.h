// Threads that kernels are divided among, and the scratch memory of each.

#ifndef TVMOPT_THREADS_H_
#define TVMOPT_THREADS_H_

#include <stddef.h>
#include <stdint.h>

namespace tvmopt {

class Pool;

// Starts `threads - 1` threads that wait for work; null when they cannot be had.
Pool* StartPool(int32_t threads);
void StopPool(Pool* pool);

// From now on this thread's kernels use the pool.
void UsePool(Pool* pool);

// Says how many tasks the parallel loops of this thread's kernels have from now on, so that threads can take them from
// each other; returns how many were said before. 0 where that is not known, and where the threads wait for each other
// within a loop: it is then cut into one part for each thread, all of which run at once. With any other number such a
// kernel could wait for ever.
int32_t ExpectTasks(int32_t tasks);

// Copies what a kernel that failed since the last time said, on whichever of the pool's threads.
void TakeError(Pool* pool, char* text, size_t bytes);

}  // namespace tvmopt

#endif  // TVMOPT_THREADS_H_
