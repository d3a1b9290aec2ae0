// The tables that describe one model; generated as tables.cc beside each compiled model.

#ifndef TVMOPT_TABLES_H_
#define TVMOPT_TABLES_H_

#include <stdint.h>
#include <tvm/ffi/c_api.h>

#include "model.h"

namespace tvmopt {

struct Tensor {
  bool constant;    // whether it is in the weights, else in the arena
  int64_t offset;   // where it begins there, in bytes
  int32_t ndim;
  int32_t shape;    // where its sizes begin in kShapes
  DLDataType dtype;
};

struct Call {
  const char* name;
  TVMFFISafeCallType kernel;
  int32_t first;  // where its arguments begin in kTensors
  int32_t count;
  int32_t tasks;  // number of tasks of its parallel loops, see ExpectTasks
};

extern const int64_t kShapes[];
extern const Tensor kTensors[];
extern const Call kCalls[];
extern const Tensor kInputs[];
extern const Tensor kOutputs[];
extern const tvmopt_spec kInputSpecs[];
extern const tvmopt_spec kOutputSpecs[];
extern const int32_t kTensorCount, kCallCount, kInputCount, kOutputCount;
extern const int64_t kArenaBytes, kWeightsBytes;

}  // namespace tvmopt

#endif  // TVMOPT_TABLES_H_
