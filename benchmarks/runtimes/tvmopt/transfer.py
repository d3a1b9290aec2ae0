"""tvmopt as `tvmopt compile` builds a network that was never tuned: with what other networks' records suggest."""

from __future__ import annotations

from tvmopt.benchmarks.runtimes.base import Job, Runtime
from tvmopt.benchmarks.runtimes.tvmopt.runner import records_of
from tvmopt.benchmarks.runtimes.tvmopt.untuned import RunTvmoptUntuned


class RunTvmoptTransfer(RunTvmoptUntuned):
    """Compiles with any records that there are, whether they are of this network or of others."""

    def prepare(self, job: Job) -> None:
        """Compiles the model into the job's folder."""
        self.compile(job, records_of(job))


RUNTIME = Runtime(
    name="tvmopt-transfer",
    title="tvmopt by transfer",
    variant="FP32, untuned",
    about="This project's kernels as `tvmopt compile` builds them, tuned or not: from records where there are any, by "
    "transfer from related ones, else by default; run by the runtime linked into them.",
    packages=("tvmopt", "apache-tvm"),
    modules=("tvm",),
    runner=RunTvmoptTransfer,
    profiler=f"{__package__}.profiler:profile_tvmopt",
    peer=False,
    prepared="per threads",
    uses_records=True,
    only_named=True,
)
