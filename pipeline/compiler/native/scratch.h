// Scratch memory of one thread's kernels: blocks are kept for the next kernel.

#ifndef TVMOPT_SCRATCH_H_
#define TVMOPT_SCRATCH_H_

#include <stdlib.h>

#include "system.h"

namespace tvmopt {

class Scratch {
 public:
  ~Scratch() {
    for (Block& block : blocks_) free(block.memory);
  }

  // Memory that begins at a cache line; null when there is none, or the kernel holds all blocks already.
  void* Take(size_t bytes) {
    Block* best = nullptr;   // the smallest that is large enough
    Block* spare = nullptr;  // the smallest: replaced by a larger one if need be
    for (Block& block : blocks_) {
      if (block.used) continue;
      if (block.bytes >= bytes && (best == nullptr || block.bytes < best->bytes)) best = &block;
      if (spare == nullptr || block.bytes < spare->bytes) spare = &block;
    }
    if (best == nullptr) best = spare != nullptr && Enlarge(spare, bytes) ? spare : nullptr;
    if (best == nullptr) return nullptr;
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

  static bool Enlarge(Block* block, size_t bytes) {
    free(block->memory);
    *block = {};
    const bool large = bytes >= kLargePage / 2;
    const size_t step = large ? kLargePage : kCacheLine;
    const size_t whole = RoundUp(bytes, step);
    if (posix_memalign(&block->memory, step, whole) != 0) {
      block->memory = nullptr;
      return false;
    }
    if (large) AdviseLargePages(block->memory, whole);
    block->bytes = whole;
    return true;
  }

  Block blocks_[8] = {};
};

}  // namespace tvmopt

#endif  // TVMOPT_SCRATCH_H_
