"""Tuning, in reading order.

`measure_types` (what a measurer is asked for and gives back), `workers` (the real one), `replay` (a recorded table in
its place), `transfer` (what other tasks' records teach), `cost_model` and `tuners` (which config to try next),
`scheduler` (which task to spend the next trials on), `search` (the loop over all of them), `session` (from a model to
a summary), `upkeep` (merging, pruning and explaining logs).
"""
