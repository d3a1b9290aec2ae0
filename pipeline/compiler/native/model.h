// A compiled model: the C and C++ interface of an artifact's model.so. It needs no libraries but libc, libm and
// libpthread.
//
//   tvmopt_model* model = tvmopt_open(weights, 2);
//   memcpy(tvmopt_input(model, 0), picture, (size_t)tvmopt_input_spec(0)->bytes);
//   if (tvmopt_run(model) != 0) puts(tvmopt_error(model));
//   const float* scores = tvmopt_output(model, 0);
//   tvmopt_close(model);
//
// A library may be opened several times; the models share its weights. One model runs one inference at a time, on any
// thread. After fork(), its threads stay with the parent: in the child it runs on one.

#ifndef TVMOPT_MODEL_H_
#define TVMOPT_MODEL_H_

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tvmopt_model tvmopt_model;

// Called before (after = 0) and after (after = 1) each kernel call; a result other than 0 ends the run.
typedef int (*tvmopt_observer)(void* context, int32_t call, int32_t after);

// Describes an input or output; its elements are in row-major order.
typedef struct {
  const char* dtype;     // type of its elements, as numpy spells it: "float32"
  int32_t ndim;          // number of dimensions; 0 for a scalar
  const int64_t* shape;  // size of each dimension
  int64_t bytes;         // size of all its elements
} tvmopt_spec;

// Makes a model ready to run.
//   weights: the bytes of weights.bin, 64-byte aligned; they must stay where they are until tvmopt_close. Large pages
//     (madvise, MADV_HUGEPAGE) make reading them faster.
//   threads: how many threads kernels are divided among, the caller's included; the number it was compiled for is best.
// Returns NULL when the weights are not aligned, `threads` is below 1, or it cannot get its memory or threads.
tvmopt_model* tvmopt_open(const void* weights, int32_t threads);
void tvmopt_close(tvmopt_model* model);

// How many bytes of weights the model expects.
int64_t tvmopt_weights_bytes(void);

// The description of the i-th input or output, in the manifest's order; NULL when there is none.
const tvmopt_spec* tvmopt_input_spec(int32_t index);
const tvmopt_spec* tvmopt_output_spec(int32_t index);

// Where to write the i-th input before a run, and where to read the i-th output after it; 64-byte aligned, NULL when
// there is none. The addresses never change, and a run leaves the inputs as they are, so it may be repeated.
void* tvmopt_input(tvmopt_model* model, int32_t index);
const void* tvmopt_output(tvmopt_model* model, int32_t index);

// Runs one inference; returns 0 on success, else tvmopt_error says what failed: "IndexError: layer …" when the inputs
// lead to an index that is out of range. After an error the outputs are undefined, and the model can run again.
int32_t tvmopt_run(tvmopt_model* model);
const char* tvmopt_error(const tvmopt_model* model);

// The kernel calls of a run: their number, a run with an observer, and a run that times each call (writes its start and
// end in nanoseconds of the monotonic clock: two numbers for each call).
int32_t tvmopt_calls(void);
int32_t tvmopt_run_observed(tvmopt_model* model, tvmopt_observer observer, void* context);
int32_t tvmopt_run_timed(tvmopt_model* model, int64_t* times);

// The name of a call's kernel, and the address and size of one of its arguments: inputs first, outputs last; -1 is the
// last one. NULL, or -1 bytes, when there is none.
const char* tvmopt_kernel(int32_t call);
int64_t tvmopt_argument_bytes(const tvmopt_model* model, int32_t call, int32_t argument);
const void* tvmopt_argument(const tvmopt_model* model, int32_t call, int32_t argument);

#ifdef __cplusplus
}
#endif

#endif  // TVMOPT_MODEL_H_
