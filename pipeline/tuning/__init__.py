"""Tuning, in reading order.

`measure_types` (what a measurer is asked for and gives back), `workers` (the real one), `candidates` (a task's configs,
numbered), `cost_model` and `tuners` (which config to try next), `transfer` (what other tasks' records teach),
`progress` and `scheduler` (how far each task is, which one gets the next trials), `search` (the loop over all of them),
`replay` (recorded tables in a measurer's place, to compare tuners), `upkeep` and `explain` (merging and pruning logs,
and why a record applies).
"""
