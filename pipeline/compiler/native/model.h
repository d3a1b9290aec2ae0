// A compiled model: what model.so of an artifact gives, to C and C++. It needs no other library than libc, libm and
// libpthread.
//
//   tvmopt_model* model = tvmopt_open(weights, 2);
//   memcpy(tvmopt_input(model, 0), picture, (size_t)tvmopt_input_spec(0)->bytes);
//   if (tvmopt_run(model) != 0) puts(tvmopt_error(model));
//   const float* scores = tvmopt_output(model, 0);
//   tvmopt_close(model);
//
// A library may be opened several times; the models share its weights. One model runs one inference at a time, on any
// thread. After fork(), its threads are the parent's: in the child it runs on one.

#ifndef TVMOPT_MODEL_H_
#define TVMOPT_MODEL_H_

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tvmopt_model tvmopt_model;

// Called before (after = 0) and after (after = 1) each kernel call; another result than 0 ends the run.
typedef int (*tvmopt_observer)(void* context, int32_t call, int32_t after);

// What an input or output is: elements follow each other in row-major order.
typedef struct {
  const char* dtype;     // type of its elements, as numpy spells it: "float32"
  int32_t ndim;          // how many sizes its shape has; none for a scalar
  const int64_t* shape;  // its sizes
  int64_t bytes;         // of all its elements
} tvmopt_spec;

// Makes a model ready to run.
//   weights: the bytes of weights.bin, 64-byte aligned; they must stay where they are until tvmopt_close. Large pages
//     (madvise, MADV_HUGEPAGE) make reading them faster.
//   threads: how many threads kernels are divided among, the caller's included; what it was compiled for is best.
// Gives NULL when the weights are not aligned, there are no threads, or memory or threads cannot be had.
tvmopt_model* tvmopt_open(const void* weights, int32_t threads);
void tvmopt_close(tvmopt_model* model);

// How many bytes of weights the model expects.
int64_t tvmopt_weights_bytes(void);

// What the i-th input and output is, in the manifest's order; NULL when there are not as many.
const tvmopt_spec* tvmopt_input_spec(int32_t index);
const tvmopt_spec* tvmopt_output_spec(int32_t index);

// Where the i-th input is to be written before a run, and where the i-th output is after it; 64-byte aligned, NULL when
// there are not as many. Neither moves, and inputs stay as they are: a run may be repeated.
void* tvmopt_input(tvmopt_model* model, int32_t index);
const void* tvmopt_output(tvmopt_model* model, int32_t index);

// One inference; 0 when it went well, else tvmopt_error says what did not.
int32_t tvmopt_run(tvmopt_model* model);
const char* tvmopt_error(const tvmopt_model* model);

// The kernel calls of a run: how many, and a run that is watched, or whose calls are timed (each one's beginning and
// end in nanoseconds of the monotonic clock: twice as many numbers as calls).
int32_t tvmopt_calls(void);
int32_t tvmopt_run_observed(tvmopt_model* model, tvmopt_observer observer, void* context);
int32_t tvmopt_run_timed(tvmopt_model* model, int64_t* times);

// The name of a call's kernel, and the address and size of one of its arguments: inputs first, outputs last; -1 is the
// last one. NULL, or -1 bytes, when there is none such.
const char* tvmopt_kernel(int32_t call);
int64_t tvmopt_argument_bytes(const tvmopt_model* model, int32_t call, int32_t argument);
const void* tvmopt_argument(const tvmopt_model* model, int32_t call, int32_t argument);

#ifdef __cplusplus
}
#endif

#endif  // TVMOPT_MODEL_H_
