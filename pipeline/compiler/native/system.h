// What the runtime asks of the operating system: time, and memory on large pages.

#ifndef TVMOPT_SYSTEM_H_
#define TVMOPT_SYSTEM_H_

#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <time.h>

namespace tvmopt {

constexpr size_t kCacheLine = 64;  // bytes; kernels require tensors and scratch memory to begin at one
constexpr size_t kLargePage = size_t{2} << 20;

// Nanoseconds of the monotonic clock.
inline int64_t Now() {
  timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return int64_t{time.tv_sec} * 1000000000 + time.tv_nsec;
}

inline size_t RoundUp(size_t bytes, size_t step) { return (bytes + step - 1) / step * step; }

// Asks for large pages; without them, access to the memory is only slower.
inline void AdviseLargePages(void* memory, size_t bytes) {
#if defined(MADV_HUGEPAGE)
  madvise(memory, bytes, MADV_HUGEPAGE);
#else
  (void)memory;
  (void)bytes;
#endif
}

}  // namespace tvmopt

#endif  // TVMOPT_SYSTEM_H_
