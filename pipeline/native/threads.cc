// The part of TVM's runtime that compiled kernels call: parallel loops, scratch memory, failed checks.
//
// Waiting threads spin for a while before they sleep, and never yield their core: kernels follow each other within
// microseconds, and whoever yields beside another busy process gets the core back milliseconds later.

#include "threads.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <tvm/ffi/c_api.h>
#include <tvm/runtime/c_backend_api.h>

#include <atomic>
#include <new>

namespace tvmopt {
namespace {

constexpr int64_t kSpinNanoseconds = 2000000;
constexpr int kSpinsBetweenClocks = 64;
constexpr size_t kAlignment = 64;
constexpr size_t kHugePage = size_t{2} << 20;
constexpr size_t kErrorBytes = 512;

int64_t Now() {
  timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return int64_t{time.tv_sec} * 1000000000 + time.tv_nsec;
}

void Pause() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__) || defined(__arm__)
  asm volatile("yield");
#endif
}

// Spins until `ready()`; false when that took too long.
template <typename Ready>
bool SpinUntil(const Ready& ready) {
  const int64_t end = Now() + kSpinNanoseconds;
  do {
    for (int i = 0; i < kSpinsBetweenClocks; ++i) {
      if (ready()) return true;
      Pause();
    }
  } while (Now() < end);
  return false;
}

char g_error[kErrorBytes];
std::atomic<bool> g_failed{false};

}  // namespace

class Pool {
 public:
  explicit Pool(int32_t threads) : threads_(threads) {
    pthread_mutex_init(&mutex_, nullptr);
    pthread_cond_init(&wake_, nullptr);
    workers_ = static_cast<Worker*>(calloc(static_cast<size_t>(threads), sizeof(Worker)));
  }

  ~Pool() {
    stop_.store(true);
    Wake();
    for (int32_t i = 1; i <= started_; ++i) pthread_join(workers_[i].thread, nullptr);
    free(workers_);
    pthread_cond_destroy(&wake_);
    pthread_mutex_destroy(&mutex_);
  }

  bool Start() {
    if (workers_ == nullptr) return false;
    for (int32_t i = 1; i < threads_; ++i) {
      workers_[i] = {this, i, {}};
      if (pthread_create(&workers_[i].thread, nullptr, &Pool::Work, &workers_[i]) != 0) return false;
      Pin(i);
      started_ = i;
    }
    return true;
  }

  int Launch(FTVMParallelLambda body, void* data) {
    body_ = body;
    data_ = data;
    group_ = {nullptr, threads_};
    result_.store(0, std::memory_order_relaxed);
    pending_.store(threads_ - 1, std::memory_order_relaxed);
    epoch_.fetch_add(1);  // sequentially consistent, as is `sleepers_`: one of both sides sees the other
    if (sleepers_.load() > 0) Wake();
    if (body(0, &group_, data) != 0) result_.store(-1);
    const auto done = [this] { return pending_.load(std::memory_order_acquire) == 0; };
    // Longer than that only when something else holds a core: then let it go on.
    while (!SpinUntil(done)) sched_yield();
    return result_.load();
  }

 private:
  struct Worker {
    Pool* pool;
    int32_t index;
    pthread_t thread;
  };

  static void* Work(void* argument) {
    auto* worker = static_cast<Worker*>(argument);
    worker->pool->Serve(worker->index);
    return nullptr;
  }

  void Serve(int32_t index) {
    uint32_t seen = 0;
    const auto called = [&] { return epoch_.load(std::memory_order_acquire) != seen || stop_.load(std::memory_order_relaxed); };
    for (;;) {
      if (!SpinUntil(called)) Sleep(called);
      if (stop_.load()) return;
      seen = epoch_.load(std::memory_order_acquire);
      if (body_(index, &group_, data_) != 0) result_.store(-1);
      pending_.fetch_sub(1, std::memory_order_release);
    }
  }

  template <typename Called>
  void Sleep(const Called& called) {
    pthread_mutex_lock(&mutex_);
    sleepers_.fetch_add(1);
    while (epoch_.load(), !called()) pthread_cond_wait(&wake_, &mutex_);
    sleepers_.fetch_sub(1);
    pthread_mutex_unlock(&mutex_);
  }

  void Wake() {
    pthread_mutex_lock(&mutex_);
    pthread_cond_broadcast(&wake_);
    pthread_mutex_unlock(&mutex_);
  }

  // Each worker gets a core of its own where the process may use exactly as many as there are threads; the first is
  // left to the caller.
  void Pin(int32_t index) {
#if defined(__linux__)
    cpu_set_t mine;
    if (sched_getaffinity(0, sizeof(mine), &mine) != 0 || CPU_COUNT(&mine) != threads_) return;
    int32_t place = 0;
    for (int core = 0; core < CPU_SETSIZE; ++core) {
      if (!CPU_ISSET(core, &mine) || place++ != index) continue;
      cpu_set_t one;
      CPU_ZERO(&one);
      CPU_SET(core, &one);
      pthread_setaffinity_np(workers_[index].thread, sizeof(one), &one);
    }
#endif
  }

  const int32_t threads_;
  int32_t started_ = 0;
  Worker* workers_ = nullptr;
  FTVMParallelLambda body_ = nullptr;
  void* data_ = nullptr;
  TVMParallelGroupEnv group_ = {};
  alignas(kAlignment) std::atomic<uint32_t> epoch_{0};
  alignas(kAlignment) std::atomic<int32_t> pending_{0};
  alignas(kAlignment) std::atomic<int32_t> sleepers_{0};
  std::atomic<int> result_{0};
  std::atomic<bool> stop_{false};
  pthread_mutex_t mutex_;
  pthread_cond_t wake_;
};

namespace {

thread_local Pool* t_pool = nullptr;

// Scratch memory of one thread: blocks stay for the next kernel.
class Scratch {
 public:
  ~Scratch() {
    for (Block& block : blocks_) free(block.memory);
  }

  void* Take(size_t bytes) {
    Block* best = nullptr;
    Block* spare = nullptr;
    for (Block& block : blocks_) {
      if (block.used) continue;
      if (block.bytes >= bytes && (best == nullptr || block.bytes < best->bytes)) best = &block;
      if (spare == nullptr || block.bytes < spare->bytes) spare = &block;
    }
    if (best == nullptr) {
      if (spare == nullptr) return nullptr;
      free(spare->memory);
      *spare = {nullptr, 0, false};
      const bool large = bytes >= kHugePage / 2;
      const size_t step = large ? kHugePage : kAlignment;
      const size_t whole = (bytes + step - 1) / step * step;
      if (posix_memalign(&spare->memory, step, whole) != 0) return nullptr;
#if defined(MADV_HUGEPAGE)
      if (large) madvise(spare->memory, whole, MADV_HUGEPAGE);
#endif
      spare->bytes = whole;
      best = spare;
    }
    best->used = true;
    return best->memory;
  }

  void Give(const void* memory) {
    for (Block& block : blocks_) {
      if (block.memory == memory) block.used = false;
    }
  }

 private:
  struct Block {
    void* memory;
    size_t bytes;
    bool used;
  };
  Block blocks_[8] = {};
};

thread_local Scratch t_scratch;

}  // namespace

Pool* StartPool(int32_t threads) {
  void* memory = nullptr;
  if (posix_memalign(&memory, alignof(Pool), sizeof(Pool)) != 0) return nullptr;
  auto* pool = new (memory) Pool(threads);
  if (pool->Start()) return pool;
  StopPool(pool);
  return nullptr;
}

void StopPool(Pool* pool) {
  if (pool == nullptr) return;
  pool->~Pool();
  free(pool);
}

void UsePool(Pool* pool) { t_pool = pool; }

const char* TakeError() {
  if (!g_failed.exchange(false)) return "a kernel failed without a word";
  return g_error;
}

}  // namespace tvmopt

extern "C" {

int TVMBackendParallelLaunch(FTVMParallelLambda body, void* data, int tasks) {
  (void)tasks;  // always 0 from generated code: as many as there are threads
  if (tvmopt::t_pool != nullptr) return tvmopt::t_pool->Launch(body, data);
  TVMParallelGroupEnv alone = {nullptr, 1};
  return body(0, &alone, data);
}

void* TVMBackendAllocWorkspace(int, int, uint64_t bytes, int, int) { return tvmopt::t_scratch.Take(bytes); }

int TVMBackendFreeWorkspace(int, int, void* memory) {
  tvmopt::t_scratch.Give(memory);
  return 0;
}

void TVMFFIErrorSetRaisedFromCStrParts(const char* kind, const char** parts, int32_t count) {
  size_t length = 0;
  const auto add = [&length](const char* text) {
    for (; text != nullptr && *text != '\0' && length + 1 < tvmopt::kErrorBytes; ++text) tvmopt::g_error[length++] = *text;
  };
  add(kind);
  add(": ");
  for (int32_t i = 0; i < count; ++i) add(parts[i]);
  tvmopt::g_error[length] = '\0';
  tvmopt::g_failed.store(true);
}

void TVMFFIErrorSetRaisedFromCStr(const char* kind, const char* message) {
  TVMFFIErrorSetRaisedFromCStrParts(kind, &message, 1);
}

// Generated code calls through these pointers, which a loader of TVM's would set.
extern void* __TVMBackendParallelLaunch __attribute__((weak));
extern void* __TVMBackendAllocWorkspace __attribute__((weak));
extern void* __TVMBackendFreeWorkspace __attribute__((weak));

__attribute__((constructor)) static void SetPointers() {
  if (&__TVMBackendParallelLaunch) __TVMBackendParallelLaunch = reinterpret_cast<void*>(&TVMBackendParallelLaunch);
  if (&__TVMBackendAllocWorkspace) __TVMBackendAllocWorkspace = reinterpret_cast<void*>(&TVMBackendAllocWorkspace);
  if (&__TVMBackendFreeWorkspace) __TVMBackendFreeWorkspace = reinterpret_cast<void*>(&TVMBackendFreeWorkspace);
}

}  // extern "C"
