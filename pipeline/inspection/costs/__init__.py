"""What each layer of a model costs in theory: operations, parameters, bytes. Nothing is run and nothing is measured.

Operations are counted the way the literature does, so that known networks come to their published numbers:

* Every arithmetic operation counts one: addition, multiplication, division, comparison, root, exponential and error
  function alike. A multiply-add is two.
* A product of depth K (convolution, matrix product) takes 2·K operations for each element of its result. The first
  product needs no addition, so a bias comes for free.
* Operations on integers (``QLinearConv``, ``MatMulInteger``, comparisons of indices) are integer operations, all others
  floating-point operations. What scales an integer product's result is left out.
* A window counts whole even where it hangs over the edge.
* Data movement (reshaping, transposing, concatenating, gathering, padding, sorting, casting) costs no operations.

Parameters are the elements of a layer's constants, as published counts have them: without scalars, shapes, indices and
the running statistics of batch normalisation.

Bytes are those of each operand and result once, in the dtype that the source model has. A view of the same bytes
(``Reshape``, ``Flatten``, …) moves none; what picks from a tensor reads as much as it picks.

`types` has LayerCost and what a rule sees; `convolution`, `products`, `elementwise`, `windows` and `recurrent` one
function for each family of operators; `rules` the table of families; `values` shapes of all values; `layers` the costs
of a whole model.
"""

from __future__ import annotations

from tvmopt.pipeline.inspection.costs.layers import ModelCosts, layer_costs, model_costs
from tvmopt.pipeline.inspection.costs.types import LayerCost

__all__ = ["LayerCost", "ModelCosts", "layer_costs", "model_costs"]
