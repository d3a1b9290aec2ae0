"""Coefficients of the polynomials of element-wise functions; `pointwise` names their sources."""

from __future__ import annotations

# Coefficients of polynomials, the highest power first.
EXP = tuple(map(float.fromhex, ("0x1.0F9F9Cp-7", "0x1.573A1Ap-5", "0x1.555A80p-3", "0x1.FFFDC6p-2", "0x1.FFFFF6p-1")))
EXP_OF_MINUS = tuple(
    map(float.fromhex, ("-0x1.0F9F9Cp-7", "0x1.573A1Ap-5", "-0x1.555A80p-3", "0x1.FFFDC6p-2", "-0x1.FFFFF6p-1"))
)
ROUND = 12583039.0
"""1.5 · 2**23 + 127: with a small number added, its low bits are the nearest integer plus float32's exponent bias."""
LOG_2 = (0.693359375, -2.12194440e-4)
"""Their sum is log 2; n times the first is exact."""
LOG_2_AT_ONCE = (0.6931471824645996,)
"""log 2 as float32: 2e-9 too much, so that an exponential with n is wrong by 2e-9 · n, at most 2.5e-7."""
_ABOVE = (
    *(-2.76076847742355e-16, 2.00018790482477e-13, -8.60467152213735e-11, 5.12229709037114e-08),
    *(1.48572235717979e-05, 6.37261928875436e-04, 4.89352455891786e-03),
)
_BELOW = (1.19825839466702e-06, 1.18534705686654e-04, 2.26843463243900e-03, 4.89352518554385e-03)
TANH_ABOVE, TANH_BELOW = (tuple(256 * number for number in numbers) for numbers in (_ABOVE, _BELOW))
"""tanh(x) / x as a quotient, in powers of x²; both sides are so large that x times the upper one is no denormal."""
ERF_BOUND = 3.8
"""From here on, erf is 1."""
ERF = (
    *(1.114692378e-3, -2.766980561e-3, 2.086951998e-3, -3.092352416e-3, 1.027665393e-2),
    *(-1.856224112e-2, 2.650817879e-2, -3.88198492e-2, 5.510854998e-2, -7.254545105e-2),
    *(9.082602699e-2, -0.1111824342, 0.1377398202, -0.1856412928, 0.3721076185),
)
"""erf(x) / x in powers of 2 · (x / `ERF_BOUND`)² - 1, which is between -1 and 1, so that nothing large cancels."""
SINH = (1 / 362880, 1 / 5040, 1 / 120, 1 / 6)
"""(sinh(x) - x) / x³ in powers of x², for x of at most 1: Taylor's series."""
ARCTANGENT = (8.05374449538e-2, -1.38776856032e-1, 1.99777106478e-1, -3.33329491539e-1)
"""(atan(x) - x) / x³ in powers of x², for x of at most tan(π / 8)."""
ARCSINE = (4.2163199048e-2, 2.4181311049e-2, 4.5470025998e-2, 7.4953002686e-2, 1.6666752422e-1)
"""(asin(x) - x) / x³ in powers of x², for x of at most 0.5."""
