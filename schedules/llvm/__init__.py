"""Templates for CPUs that LLVM compiles for: one operator family a file, loop nests written out as TIR.

`emit` has the building blocks, `operands` how a kernel reads and writes a blocked feature map, `vectormath` the
functions of epilogues on vectors. The register tiles are the templates' own, so tails cost what they must and no
more, and a kernel compiles in a tenth of a second.
"""
