"""Kernels: what a target is, what a kernel computes, and the templates that generate it.

In reading order: `target` (facts of a machine), `workload` (what one kernel computes), `space` (knobs and
configs), `compute` (the meaning of element-wise expressions), `llvm` (templates for CPUs), `cuda` (rules for GPUs)
and `registry` (which template takes which workload). Knows nothing of `pipeline`.
"""
