// The artifacts' threads in TVM's process: kernels are tuned on the threads that they will run on.
//
// Loaded before TVM's runtime, this library's parallel loop replaces TVM's, whose threads yield and move between cores.

#include <stdint.h>
#include <tvm/runtime/c_backend_api.h>

#include "threads.h"

extern "C" {

// From now on divides the calling thread's kernels among `threads`; returns 0, or -1 when they cannot be started.
int32_t tvmopt_use_threads(int32_t threads) {
  tvmopt::Pool* pool = tvmopt::StartPool(threads);
  if (pool == nullptr) return -1;
  tvmopt::UsePool(pool);
  return 0;
}

// See ExpectTasks.
int32_t tvmopt_expect_tasks(int32_t tasks) { return tvmopt::ExpectTasks(tasks); }

}  // extern "C"
