"""Coefficients of the polynomials of element-wise functions; `pointwise` names their sources."""

from __future__ import annotations

# Coefficients of polynomials, the highest power first.
EXP = (1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1)
EXP_OF_MINUS = tuple(
    map(float.fromhex, ("-0x1.0F9F9Cp-7", "0x1.573A1Ap-5", "-0x1.555A80p-3", "0x1.FFFDC6p-2", "-0x1.FFFFF6p-1"))
)
ROUND = 12583039.0
"""1.5 · 2**23 + 127: with a small number added, its low bits are the nearest integer plus float32's exponent bias."""
TANH_ABOVE = (
    *(-2.76076847742355e-16, 2.00018790482477e-13, -8.60467152213735e-11, 5.12229709037114e-08),
    *(1.48572235717979e-05, 6.37261928875436e-04, 4.89352455891786e-03),
)
TANH_BELOW = (1.19825839466702e-06, 1.18534705686654e-04, 2.26843463243900e-03, 4.89352518554385e-03)
ERF_ABOVE = (
    *(-2.72614225801306e-10, 2.77068142495902e-08, -2.10102402082508e-06, -5.69250639462346e-05),
    *(-7.34990630326855e-04, -2.95459980854025e-03, -1.60960333262415e-02),
)
ERF_BELOW = (
    *(-1.45660718464996e-05, -2.13374055278905e-04, -1.68282697438203e-03, -7.37332916720468e-03),
    -1.42647390514189e-02,
)
