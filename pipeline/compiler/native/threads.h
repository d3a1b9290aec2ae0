// Threads that kernels are divided among, and the scratch memory of each.

#ifndef TVMOPT_THREADS_H_
#define TVMOPT_THREADS_H_

#include <stddef.h>
#include <stdint.h>

namespace tvmopt {

class Pool;

// Starts `threads - 1` threads that wait for work; null when they cannot be started.
Pool* StartPool(int32_t threads);
void StopPool(Pool* pool);

// From now on this thread's kernels use the pool.
void UsePool(Pool* pool);

// Sets how many tasks the parallel loops of this thread's kernels have from now on, so that threads can take them from
// each other; returns the previous number. Pass 0 if the number is not known, or if the threads wait for each other
// within a loop: the loop is then split into one part for each thread, all of which run at once. With any other number
// such a kernel could wait forever.
int32_t ExpectTasks(int32_t tasks);

// Copies the error of a kernel that failed since the last call, on any of the pool's threads.
void TakeError(Pool* pool, char* text, size_t bytes);

}  // namespace tvmopt

#endif  // TVMOPT_THREADS_H_
