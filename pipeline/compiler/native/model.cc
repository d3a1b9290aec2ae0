// Runs the calls of the tables; see model.h.

#include "model.h"

#include <stdlib.h>
#include <string.h>

#include "denormals.h"
#include "system.h"
#include "tables.h"
#include "threads.h"

using tvmopt::Call;
using tvmopt::Tensor;

struct tvmopt_model {
  char* weights;
  char* block;  // the memory that contains the arena
  char* arena;
  DLTensor* tensors;  // as kTensors, with addresses
  TVMFFIAny* arguments;
  tvmopt::Pool* pool;
  char error[512];
};

namespace {

using tvmopt::kLargePage;

// The arena in whole large pages, and one more page so that it can begin at a page boundary.
size_t BlockBytes() { return tvmopt::RoundUp(static_cast<size_t>(tvmopt::kArenaBytes), kLargePage) + kLargePage; }

bool TakeArena(tvmopt_model* model) {
  void* block = mmap(nullptr, BlockBytes(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (block == MAP_FAILED) return false;
  model->block = static_cast<char*>(block);
  const uintptr_t address = reinterpret_cast<uintptr_t>(block);
  model->arena = model->block + (tvmopt::RoundUp(address, kLargePage) - address);
  if (static_cast<size_t>(tvmopt::kArenaBytes) >= kLargePage / 2) {
    tvmopt::AdviseLargePages(model->arena, BlockBytes() - kLargePage);
  }
  return true;
}

char* Address(const tvmopt_model* model, const Tensor& tensor) {
  return (tensor.constant ? model->weights : model->arena) + tensor.offset;
}

bool Describe(tvmopt_model* model) {
  const size_t count = static_cast<size_t>(tvmopt::kTensorCount);
  model->tensors = static_cast<DLTensor*>(calloc(count + 1, sizeof(DLTensor)));
  model->arguments = static_cast<TVMFFIAny*>(calloc(count + 1, sizeof(TVMFFIAny)));
  if (model->tensors == nullptr || model->arguments == nullptr) return false;
  for (size_t i = 0; i < count; ++i) {
    const Tensor& tensor = tvmopt::kTensors[i];
    DLTensor& made = model->tensors[i];
    made.data = Address(model, tensor);
    made.device = {kDLCPU, 0};
    made.ndim = tensor.ndim;
    made.dtype = tensor.dtype;
    made.shape = const_cast<int64_t*>(tvmopt::kShapes + tensor.shape);
    made.strides = nullptr;
    made.byte_offset = 0;
    model->arguments[i].type_index = kTVMFFIDLTensorPtr;
    model->arguments[i].zero_padding = 0;
    model->arguments[i].v_ptr = &made;
  }
  return true;
}

int32_t Execute(tvmopt_model* model, const Call& call) {
  TVMFFIAny result = {};
  tvmopt::ExpectTasks(call.tasks);
  if (call.kernel(nullptr, model->arguments + call.first, call.count, &result) == 0) return 0;
  tvmopt::TakeError(model->pool, model->error, sizeof(model->error));
  return -1;
}

int32_t ExecuteFlushing(tvmopt_model* model, const Call& call) {
  const tvmopt::FlushDenormals flush;
  return Execute(model, call);
}

const DLTensor* Argument(const tvmopt_model* model, int32_t call, int32_t argument) {
  if (call < 0 || call >= tvmopt::kCallCount) return nullptr;
  const Call& which = tvmopt::kCalls[call];
  if (argument < 0) argument += which.count;
  return argument >= 0 && argument < which.count ? &model->tensors[which.first + argument] : nullptr;
}

}  // namespace

extern "C" {

#define TVMOPT_API __attribute__((visibility("default")))

TVMOPT_API tvmopt_model* tvmopt_open(const void* weights, int32_t threads) {
  if (threads < 1 || reinterpret_cast<uintptr_t>(weights) % tvmopt::kCacheLine != 0) return nullptr;
  auto* model = static_cast<tvmopt_model*>(calloc(1, sizeof(tvmopt_model)));
  if (model == nullptr) return nullptr;
  model->weights = const_cast<char*>(static_cast<const char*>(weights));
  if (TakeArena(model) && Describe(model)) model->pool = tvmopt::StartPool(threads);
  if (model->pool != nullptr) return model;
  tvmopt_close(model);
  return nullptr;
}

TVMOPT_API void tvmopt_close(tvmopt_model* model) {
  if (model == nullptr) return;
  tvmopt::StopPool(model->pool);
  free(model->arguments);
  free(model->tensors);
  if (model->block != nullptr) munmap(model->block, BlockBytes());
  free(model);
}

TVMOPT_API int64_t tvmopt_weights_bytes(void) { return tvmopt::kWeightsBytes; }

TVMOPT_API const tvmopt_spec* tvmopt_input_spec(int32_t index) {
  return index >= 0 && index < tvmopt::kInputCount ? &tvmopt::kInputSpecs[index] : nullptr;
}

TVMOPT_API const tvmopt_spec* tvmopt_output_spec(int32_t index) {
  return index >= 0 && index < tvmopt::kOutputCount ? &tvmopt::kOutputSpecs[index] : nullptr;
}

TVMOPT_API void* tvmopt_input(tvmopt_model* model, int32_t index) {
  return index >= 0 && index < tvmopt::kInputCount ? Address(model, tvmopt::kInputs[index]) : nullptr;
}

TVMOPT_API const void* tvmopt_output(tvmopt_model* model, int32_t index) {
  return index >= 0 && index < tvmopt::kOutputCount ? Address(model, tvmopt::kOutputs[index]) : nullptr;
}

TVMOPT_API int32_t tvmopt_run(tvmopt_model* model) {
  const tvmopt::FlushDenormals flush;
  tvmopt::UsePool(model->pool);
  for (int32_t i = 0; i < tvmopt::kCallCount; ++i) {
    if (Execute(model, tvmopt::kCalls[i]) != 0) return -1;
  }
  return 0;
}

TVMOPT_API const char* tvmopt_error(const tvmopt_model* model) { return model->error; }

TVMOPT_API int32_t tvmopt_calls(void) { return tvmopt::kCallCount; }

TVMOPT_API int32_t tvmopt_run_observed(tvmopt_model* model, tvmopt_observer observer, void* context) {
  for (int32_t i = 0; i < tvmopt::kCallCount; ++i) {
    const bool begun = observer(context, i, 0) == 0;
    tvmopt::UsePool(model->pool);  // the observer may have run another model
    if (begun && ExecuteFlushing(model, tvmopt::kCalls[i]) != 0) return -1;
    if (begun && observer(context, i, 1) == 0) continue;
    strcpy(model->error, "the observer ended the run");
    return -1;
  }
  return 0;
}

TVMOPT_API int32_t tvmopt_run_timed(tvmopt_model* model, int64_t* times) {
  const tvmopt::FlushDenormals flush;
  tvmopt::UsePool(model->pool);
  for (int32_t i = 0; i < tvmopt::kCallCount; ++i) {
    times[2 * i] = tvmopt::Now();
    if (Execute(model, tvmopt::kCalls[i]) != 0) return -1;
    times[2 * i + 1] = tvmopt::Now();
  }
  return 0;
}

TVMOPT_API const char* tvmopt_kernel(int32_t call) {
  return call >= 0 && call < tvmopt::kCallCount ? tvmopt::kCalls[call].name : nullptr;
}

TVMOPT_API const void* tvmopt_argument(const tvmopt_model* model, int32_t call, int32_t argument) {
  const DLTensor* tensor = Argument(model, call, argument);
  return tensor == nullptr ? nullptr : tensor->data;
}

TVMOPT_API int64_t tvmopt_argument_bytes(const tvmopt_model* model, int32_t call, int32_t argument) {
  const DLTensor* tensor = Argument(model, call, argument);
  if (tensor == nullptr) return -1;
  int64_t bytes = (tensor->dtype.bits + 7) / 8;
  for (int32_t i = 0; i < tensor->ndim; ++i) bytes *= tensor->shape[i];
  return bytes;
}

}  // extern "C"
