// The artifacts' threads in TVM's process: kernels are tuned on the threads that they will run on.
//
// Loaded before TVM's runtime, this library's parallel loop stands before the one of TVM, whose threads yield and move.

#include <stdint.h>
#include <tvm/runtime/c_backend_api.h>

#include "threads.h"

extern "C" {

// Has the kernels that the calling thread runs from now on divided among `threads`; 0, or -1 when they cannot be had.
int32_t tvmopt_use_threads(int32_t threads) {
  tvmopt::Pool* pool = tvmopt::StartPool(threads);
  if (pool == nullptr) return -1;
  tvmopt::UsePool(pool);
  return 0;
}

// See ExpectTasks.
int32_t tvmopt_expect_tasks(int32_t tasks) { return tvmopt::ExpectTasks(tasks); }

}  // extern "C"
