// Results too small for a normal float become zero while a kernel runs.
//
// A processor that must round to a denormal takes a hundred cycles more: sigmoids of large negative numbers, as networks
// have them, would triple a model's time. Operands that are denormal still count, so that Sign or Ceil see them. On Arm
// denormals cost little, and the switch would flush operands, too: nothing is done there.

#ifndef TVMOPT_DENORMALS_H_
#define TVMOPT_DENORMALS_H_

#if defined(__SSE__)
#include <xmmintrin.h>
#endif

namespace tvmopt {

// From its construction on, this thread flushes denormal results; its destruction restores what was before.
class FlushDenormals {
 public:
#if defined(__SSE__)
  FlushDenormals() : before_(_mm_getcsr()) { _mm_setcsr(before_ | _MM_FLUSH_ZERO_ON); }
  ~FlushDenormals() { _mm_setcsr(before_); }
#else
  FlushDenormals() {}
  ~FlushDenormals() {}
#endif
  FlushDenormals(const FlushDenormals&) = delete;
  FlushDenormals& operator=(const FlushDenormals&) = delete;

#if defined(__SSE__)

 private:
  const unsigned before_;
#endif
};

}  // namespace tvmopt

#endif  // TVMOPT_DENORMALS_H_
