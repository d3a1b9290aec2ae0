// The part of TVM's runtime that compiled kernels call: parallel loops, scratch memory, failed checks.
//
// Waiting threads spin for a while before they sleep, and never yield their core: kernels follow each other within
// microseconds, and a thread that yields to another busy process gets its core back only milliseconds later.

#include "threads.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <tvm/ffi/c_api.h>
#include <tvm/runtime/c_backend_api.h>

#include <atomic>
#include <new>

#include "denormals.h"
#include "scratch.h"
#include "system.h"

namespace tvmopt {
namespace {

constexpr int64_t kSpinNanoseconds = 2000000;
constexpr int kSpinsBetweenClocks = 64;
constexpr size_t kErrorBytes = 512;

// About how many shares for each thread a loop's tasks are grouped into, when it has more tasks. A share costs about
// ten nanoseconds; one thread has at most one share more to do than another.
constexpr int32_t kSharesEach = 32;
constexpr int32_t kMostShares = 65535;

void Pause() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__) || defined(__arm__)
  asm volatile("yield");
#endif
}

// Spins until `ready()`; false when that takes too long.
template <typename Ready>
bool SpinUntil(const Ready& ready, int64_t nanoseconds) {
  const int64_t end = Now() + nanoseconds;
  do {
    for (int i = 0; i < kSpinsBetweenClocks; ++i) {
      if (ready()) return true;
      Pause();
    }
  } while (Now() < end);
  return false;
}

// One thread's shares of a parallel loop that are not begun yet: from `first` up to `end`. The thread takes them from
// the front; a thread that has none left takes from the back of another's, so that both work on neighbouring data.
class alignas(kCacheLine) Shares {
 public:
  void Set(uint32_t epoch, uint32_t first, uint32_t end) {
    state_.store(Pack(epoch, first, end), std::memory_order_release);
  }

  // Takes a share of loop number `epoch`; returns the share's number, or -1 when none is left. A thread that comes
  // late, when the next loop is already running, takes nothing.
  int32_t Take(uint32_t epoch, bool own) {
    uint64_t state = state_.load(std::memory_order_acquire);
    for (;;) {
      const uint32_t first = (state >> 16) & 0xffff, end = state & 0xffff;
      if (static_cast<uint32_t>(state >> 32) != epoch || first >= end) return -1;
      const uint64_t rest = own ? Pack(epoch, first + 1, end) : Pack(epoch, first, end - 1);
      if (state_.compare_exchange_weak(state, rest, std::memory_order_acq_rel, std::memory_order_acquire)) {
        return static_cast<int32_t>(own ? first : end - 1);
      }
    }
  }

 private:
  static uint64_t Pack(uint32_t epoch, uint32_t first, uint32_t end) {
    return static_cast<uint64_t>(epoch) << 32 | static_cast<uint64_t>(first) << 16 | end;
  }

  std::atomic<uint64_t> state_{0};
};

// How often a process with this library was forked: the child has the memory of a pool, not its threads.
std::atomic<uint32_t> g_forks{0};

}  // namespace

// One of the threads that a kernel runs on; the first is the caller's.
struct Worker {
  Pool* pool;
  int32_t index;
  int32_t core;  // the core that it is bound to; -1 when there is none
  pthread_t thread;
  Scratch scratch;
  char error[kErrorBytes];  // the error of its kernel that failed; empty when none did
};

class Pool {
 public:
  explicit Pool(int32_t threads) : threads_(threads), forks_(g_forks.load()) {
    pthread_mutex_init(&mutex_, nullptr);
    pthread_cond_init(&wake_, nullptr);
    workers_ = static_cast<Worker*>(calloc(static_cast<size_t>(threads), sizeof(Worker)));
    void* memory = nullptr;
    const size_t bytes = static_cast<size_t>(threads) * sizeof(Shares);
    if (posix_memalign(&memory, alignof(Shares), bytes) == 0) shares_ = static_cast<Shares*>(memory);
  }

  ~Pool() {
    if (!Forked()) {  // in a child, destroying the condition would wait for threads that only the parent has
      stop_.store(true);
      Wake();
      for (int32_t i = 1; i <= started_; ++i) pthread_join(workers_[i].thread, nullptr);
      pthread_cond_destroy(&wake_);
      pthread_mutex_destroy(&mutex_);
    }
    for (int32_t i = 0; workers_ != nullptr && i < threads_; ++i) workers_[i].scratch.~Scratch();
    free(workers_);
    free(shares_);
  }

  bool Start() {
    if (workers_ == nullptr || shares_ == nullptr || threads_ > kMostShares) return false;
    cpu_set_t mine;
    CPU_ZERO(&mine);
    sched_getaffinity(0, sizeof(mine), &mine);
    if (CPU_COUNT(&mine) < threads_) spin_ = 0;  // a thread that spins would keep the others from working
    for (int32_t i = 0; i < threads_; ++i) new (&workers_[i]) Worker();
    for (int32_t i = 0; i < threads_; ++i) new (&shares_[i]) Shares();
    for (int32_t i = 0; i < threads_; ++i) {
      workers_[i].pool = this;
      workers_[i].index = i;
      workers_[i].core = -1;
      if (i == 0) continue;
      if (pthread_create(&workers_[i].thread, nullptr, &Pool::Work, &workers_[i]) != 0) return false;
      started_ = i;
    }
    PlaceWorkers(mine);
    return true;
  }

  // See ExpectTasks.
  int32_t Expect(int32_t tasks) {
    const int32_t before = tasks_;
    tasks_ = tasks;
    return before;
  }

  int Launch(FTVMParallelLambda body, void* data) {
    if (threads_ == 1 || Forked()) return RunAlone(body, data);
    MakeWay();
    const int32_t count = CountShares();
    body_.store(body, std::memory_order_relaxed);
    data_.store(data, std::memory_order_relaxed);
    group_ = {nullptr, count};  // nobody else reads it: all shares of the previous loop are finished
    result_.store(0, std::memory_order_relaxed);
    finished_.store(0, std::memory_order_relaxed);
    const uint32_t epoch = epoch_.load(std::memory_order_relaxed) + 1;
    for (int64_t i = 0; i < threads_; ++i) {
      const int64_t first = i * count / threads_, end = (i + 1) * count / threads_;
      shares_[i].Set(epoch, static_cast<uint32_t>(first), static_cast<uint32_t>(end));
    }
    epoch_.store(epoch);  // sequentially consistent, as is `sleepers_`: at least one side sees the other's write
    if (sleepers_.load() > 0) Wake();
    const int32_t others = count - RunShares(0, epoch);
    const auto done = [&] { return finished_.load(std::memory_order_acquire) == others; };
    // It takes longer than that only when something else holds a core: then let that run.
    while (!SpinUntil(done, spin_)) sched_yield();
    return result_.load();
  }

  static int RunAlone(FTVMParallelLambda body, void* data) {
    TVMParallelGroupEnv alone = {nullptr, 1};
    return body(0, &alone, data);
  }

  Worker* caller() { return &workers_[0]; }

  // The error of the first thread that has one, else null.
  Worker* FindError() {
    for (int32_t i = 0; i < threads_; ++i) {
      if (workers_[i].error[0] != '\0') return &workers_[i];
    }
    return nullptr;
  }

 private:
  static void* Work(void* worker);

  bool Forked() const { return forks_ != g_forks.load(std::memory_order_relaxed); }

  void Serve(int32_t index) {
    uint32_t seen = 0;
    const auto called = [&] { return epoch_.load() != seen || stop_.load(); };
    for (;;) {
      if (!SpinUntil(called, spin_)) Sleep(called);
      if (stop_.load()) return;
      seen = epoch_.load();
      const int32_t count = RunShares(index, seen);
      if (count > 0) finished_.fetch_add(count, std::memory_order_release);
    }
  }

  // Runs shares of loop number `epoch`, the thread's own and then others', until none is left; returns how many it ran.
  //
  // `body` and `data` are read before a share is taken. If a share can be taken, the loop is not finished, so nothing
  // has overwritten them since: they belong to `epoch`.
  int32_t RunShares(int32_t index, uint32_t epoch) {
    const FTVMParallelLambda body = body_.load(std::memory_order_relaxed);
    void* data = data_.load(std::memory_order_relaxed);
    int32_t count = 0;
    for (int32_t i = 0; i < threads_; ++i) {
      Shares& shares = shares_[(index + i) % threads_];
      for (int32_t share = 0; (share = shares.Take(epoch, i == 0)) >= 0; ++count) {
        if (body(share, &group_, data) != 0) result_.store(-1);
      }
    }
    return count;
  }

  // Generated code gives every share but the last the same number of tasks; if tasks are few, each is a share.
  int32_t CountShares() const {
    if (tasks_ <= threads_) return threads_;
    const int32_t most = threads_ < kMostShares / kSharesEach ? threads_ * kSharesEach : kMostShares;
    const int32_t each = tasks_ / most > 1 ? tasks_ / most : 1;
    const int32_t count = (tasks_ + each - 1) / each;
    return count < kMostShares ? count : kMostShares;
  }

  template <typename Called>
  void Sleep(const Called& called) {
    pthread_mutex_lock(&mutex_);
    sleepers_.fetch_add(1);
    while (!called()) pthread_cond_wait(&wake_, &mutex_);
    sleepers_.fetch_sub(1);
    pthread_mutex_unlock(&mutex_);
  }

  void Wake() {
    pthread_mutex_lock(&mutex_);
    pthread_cond_broadcast(&wake_);
    pthread_mutex_unlock(&mutex_);
  }

  // Binds each worker to a core of its own if the process may use exactly as many cores as there are threads; the
  // caller has the one that it is on.
  void PlaceWorkers(const cpu_set_t& mine) {
    caller_core_ = sched_getcpu();
    if (CPU_COUNT(&mine) != threads_) return;
    int32_t index = 1;
    for (int32_t core = 0; core < CPU_SETSIZE && index < threads_; ++core) {
      if (CPU_ISSET(static_cast<size_t>(core), &mine) && core != caller_core_) Place(&workers_[index++], core);
    }
  }

  // The system may move the caller to a worker's core and leave it there: each would wait for the other's time slices
  // to end. So they swap cores.
  void MakeWay() {
    const int32_t here = sched_getcpu();
    if (here == caller_core_) return;
    for (int32_t i = 1; i < threads_; ++i) {
      if (workers_[i].core == here) Place(&workers_[i], caller_core_);
    }
    caller_core_ = here;
  }

  static void Place(Worker* worker, int32_t core) {
    if (core < 0) return;
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(static_cast<size_t>(core), &one);
    if (pthread_setaffinity_np(worker->thread, sizeof(one), &one) == 0) worker->core = core;
  }

  const int32_t threads_;
  const uint32_t forks_;
  int32_t started_ = 0;
  int32_t caller_core_ = -1;
  int64_t spin_ = kSpinNanoseconds;
  Worker* workers_ = nullptr;
  Shares* shares_ = nullptr;  // one for each thread
  int32_t tasks_ = 0;
  std::atomic<FTVMParallelLambda> body_{nullptr};
  std::atomic<void*> data_{nullptr};
  TVMParallelGroupEnv group_ = {};
  alignas(kCacheLine) std::atomic<uint32_t> epoch_{0};  // on the cache line that waiting threads watch
  std::atomic<bool> stop_{false};
  alignas(kCacheLine) std::atomic<int32_t> finished_{0};  // shares that threads other than the caller have run
  alignas(kCacheLine) std::atomic<int32_t> sleepers_{0};
  std::atomic<int> result_{0};
  pthread_mutex_t mutex_;
  pthread_cond_t wake_;
};

namespace {

// Which of a pool's threads this one is.
thread_local Worker* t_worker = nullptr;

}  // namespace

void* Pool::Work(void* worker) {
  const FlushDenormals flush;
  t_worker = static_cast<Worker*>(worker);
  t_worker->pool->Serve(t_worker->index);
  return nullptr;
}

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

void UsePool(Pool* pool) { t_worker = pool->caller(); }

int32_t ExpectTasks(int32_t tasks) { return t_worker->pool->Expect(tasks); }

void TakeError(Pool* pool, char* text, size_t bytes) {
  Worker* failed = pool->FindError();
  const char* said = failed == nullptr ? "a kernel failed without a word" : failed->error;
  size_t length = 0;
  for (; said[length] != '\0' && length + 1 < bytes; ++length) text[length] = said[length];
  text[length] = '\0';
  for (; failed != nullptr; failed = pool->FindError()) failed->error[0] = '\0';
}

}  // namespace tvmopt

extern "C" {

int TVMBackendParallelLaunch(FTVMParallelLambda body, void* data, int tasks) {
  (void)tasks;  // always 0 from generated code, which means as many as there are threads
  tvmopt::Worker* worker = tvmopt::t_worker;
  return worker->index == 0 ? worker->pool->Launch(body, data) : tvmopt::Pool::RunAlone(body, data);
}

void* TVMBackendAllocWorkspace(int, int, uint64_t bytes, int, int) {
  void* memory = bytes > SIZE_MAX / 2 ? nullptr : tvmopt::t_worker->scratch.Take(static_cast<size_t>(bytes));
  if (memory == nullptr) TVMFFIErrorSetRaisedFromCStr("MemoryError", "no scratch memory for a kernel");
  return memory;
}

int TVMBackendFreeWorkspace(int, int, void* memory) {
  tvmopt::t_worker->scratch.Give(memory);
  return 0;
}

void TVMFFIErrorSetRaisedFromCStrParts(const char* kind, const char** parts, int32_t count) {
  char* error = tvmopt::t_worker->error;
  size_t length = 0;
  const auto add = [&](const char* text) {
    for (; text != nullptr && *text != '\0' && length + 1 < tvmopt::kErrorBytes; ++text) error[length++] = *text;
  };
  add(kind);
  add(": ");
  for (int32_t i = 0; i < count; ++i) add(parts[i]);
  error[length] = '\0';
}

void TVMFFIErrorSetRaisedFromCStr(const char* kind, const char* message) {
  TVMFFIErrorSetRaisedFromCStrParts(kind, &message, 1);
}

// Generated code calls through these pointers, which TVM's loader would otherwise set.
extern void* __TVMBackendParallelLaunch __attribute__((weak));
extern void* __TVMBackendAllocWorkspace __attribute__((weak));
extern void* __TVMBackendFreeWorkspace __attribute__((weak));

__attribute__((constructor)) static void Prepare() {
  if (&__TVMBackendParallelLaunch) __TVMBackendParallelLaunch = reinterpret_cast<void*>(&TVMBackendParallelLaunch);
  if (&__TVMBackendAllocWorkspace) __TVMBackendAllocWorkspace = reinterpret_cast<void*>(&TVMBackendAllocWorkspace);
  if (&__TVMBackendFreeWorkspace) __TVMBackendFreeWorkspace = reinterpret_cast<void*>(&TVMBackendFreeWorkspace);
  pthread_atfork(nullptr, nullptr, [] { tvmopt::g_forks.fetch_add(1); });
}

}  // extern "C"
