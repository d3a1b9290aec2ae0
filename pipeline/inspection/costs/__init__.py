"""What each layer of a model costs in theory: operations, parameters, bytes. Nothing is run and nothing is measured.

Operations are counted as in the literature, so that known networks get their published numbers:

* Every arithmetic operation counts as one: addition, multiplication, division, comparison, root, exponential, error
  function. A multiply-add is two.
* A product of depth K (convolution, matrix product) takes 2·K operations for each element of its result. The first
  product needs no addition, so a bias comes for free.
* Operations on integers (``QLinearConv``, ``MatMulInteger``, comparisons of indices) are integer operations, all others
  floating-point operations. Scaling an integer product's result is left out.
* A window counts in full even where it extends past the edge.
* Data movement (reshaping, transposing, concatenating, gathering, padding, sorting, casting) costs no operations.

Parameters are the elements of a layer's constants, counted as in publications: without scalars, shapes, indices and the
running statistics of batch normalisation.

Bytes are those of each operand and result once, in the source model's dtype. A view of the same bytes (``Reshape``,
``Flatten``, …) moves none; an operator that picks from a tensor reads as much as it picks.

`types` has LayerCost and the input of a rule; `convolution`, `products`, `elementwise`, `windows` and `recurrent` have
one function for each family of operators; `rules` has the table of families, `values` the shapes of all values,
`layers` the costs of a whole model.
"""

from __future__ import annotations

from tvmopt.pipeline.inspection.costs.layers import ModelCosts, layer_costs, model_costs
from tvmopt.pipeline.inspection.costs.types import LayerCost

__all__ = ["LayerCost", "ModelCosts", "layer_costs", "model_costs"]
