// Runs the calls of the tables; see model.h.

#include "model.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "tables.h"
#include "threads.h"

using tvmopt::Call;
using tvmopt::Tensor;

struct tvmopt_model {
  char* weights;
  char* arena;
  DLTensor* tensors;   // as kTensors, with addresses
  TVMFFIAny* arguments;
  tvmopt::Pool* pool;
  char error[512];
};

namespace {

constexpr size_t kHugePage = size_t{2} << 20;

int64_t Now() {
  timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return int64_t{time.tv_sec} * 1000000000 + time.tv_nsec;
}

char* Address(const tvmopt_model* model, const Tensor& tensor) {
  return (tensor.constant ? model->weights : model->arena) + tensor.offset;
}

void Describe(tvmopt_model* model) {
  for (int32_t i = 0; i < tvmopt::kTensorCount; ++i) {
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
}

int32_t Execute(tvmopt_model* model, const Call& call) {
  TVMFFIAny result = {};
  if (call.kernel(nullptr, model->arguments + call.first, call.count, &result) == 0) return 0;
  strncpy(model->error, tvmopt::TakeError(), sizeof(model->error) - 1);
  return -1;
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
  auto* model = static_cast<tvmopt_model*>(calloc(1, sizeof(tvmopt_model)));
  if (model == nullptr) return nullptr;
  model->weights = const_cast<char*>(static_cast<const char*>(weights));
  const size_t bytes = static_cast<size_t>(tvmopt::kArenaBytes) + kHugePage - 1;
  const size_t whole = bytes / kHugePage * kHugePage + kHugePage;
  void* arena = mmap(nullptr, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  model->arena = arena == MAP_FAILED ? nullptr : static_cast<char*>(arena);
#if defined(MADV_HUGEPAGE)
  if (model->arena != nullptr) madvise(model->arena, whole, MADV_HUGEPAGE);
#endif
  const size_t count = static_cast<size_t>(tvmopt::kTensorCount);
  model->tensors = static_cast<DLTensor*>(calloc(count + 1, sizeof(DLTensor)));
  model->arguments = static_cast<TVMFFIAny*>(calloc(count + 1, sizeof(TVMFFIAny)));
  model->pool = threads > 1 ? tvmopt::StartPool(threads) : nullptr;
  const bool ready = model->arena != nullptr && model->tensors != nullptr && model->arguments != nullptr;
  if (!ready || (threads > 1 && model->pool == nullptr)) {
    tvmopt_close(model);
    return nullptr;
  }
  Describe(model);
  return model;
}

TVMOPT_API void tvmopt_close(tvmopt_model* model) {
  if (model == nullptr) return;
  tvmopt::StopPool(model->pool);
  free(model->arguments);
  free(model->tensors);
  const size_t bytes = static_cast<size_t>(tvmopt::kArenaBytes) + kHugePage - 1;
  if (model->arena != nullptr) munmap(model->arena, bytes / kHugePage * kHugePage + kHugePage);
  free(model);
}

TVMOPT_API int64_t tvmopt_weights_bytes(void) { return tvmopt::kWeightsBytes; }

TVMOPT_API void* tvmopt_input(tvmopt_model* model, int32_t index) {
  return index >= 0 && index < tvmopt::kInputCount ? Address(model, tvmopt::kInputs[index]) : nullptr;
}

TVMOPT_API const void* tvmopt_output(tvmopt_model* model, int32_t index) {
  return index >= 0 && index < tvmopt::kOutputCount ? Address(model, tvmopt::kOutputs[index]) : nullptr;
}

TVMOPT_API int32_t tvmopt_run(tvmopt_model* model) {
  tvmopt::UsePool(model->pool);
  for (int32_t i = 0; i < tvmopt::kCallCount; ++i) {
    if (Execute(model, tvmopt::kCalls[i]) != 0) return -1;
  }
  return 0;
}

TVMOPT_API const char* tvmopt_error(const tvmopt_model* model) { return model->error; }

TVMOPT_API int32_t tvmopt_calls(void) { return tvmopt::kCallCount; }

TVMOPT_API int32_t tvmopt_run_observed(tvmopt_model* model, tvmopt_observer observer, void* context) {
  tvmopt::UsePool(model->pool);
  for (int32_t i = 0; i < tvmopt::kCallCount; ++i) {
    if (observer(context, i, 0) != 0 || Execute(model, tvmopt::kCalls[i]) != 0 || observer(context, i, 1) != 0) return -1;
  }
  return 0;
}

TVMOPT_API int32_t tvmopt_run_timed(tvmopt_model* model, int64_t* times) {
  tvmopt::UsePool(model->pool);
  for (int32_t i = 0; i < tvmopt::kCallCount; ++i) {
    times[2 * i] = Now();
    if (Execute(model, tvmopt::kCalls[i]) != 0) return -1;
    times[2 * i + 1] = Now();
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
