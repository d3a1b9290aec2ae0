"""A runner for kernels built by `misbehaving_build_worker`."""

from __future__ import annotations

from tests.pipeline.tuning.measure.misbehaving_build_worker import bind
from tvmopt.pipeline.tuning.measure import run_worker

if __name__ == "__main__":
    run_worker.kernel_for = bind
    run_worker.main()
