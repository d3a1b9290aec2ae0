"""tvmopt with tuning records."""

from __future__ import annotations

from pathlib import Path

from tvmopt.benchmarks.runtimes.base import Job, NothingToPrepareError, Runtime
from tvmopt.benchmarks.runtimes.tvmopt.untuned import RunTvmoptUntuned

NO_RECORDS = "no records: run tvmopt tune or pass --tune-trials"


class RunTvmopt(RunTvmoptUntuned):
    """Compiles with the best records and runs the artifact."""

    def prepare(self, job: Job) -> None:
        """Compiles the model with the records of the job's logs; the first folder that has a record decides.

        Raises:
            NothingToPrepareError: when there is no record for this model, machine and thread count.
        """
        from tvmopt.pipeline.records.lookup import FirstMatch
        from tvmopt.pipeline.records.store import RecordStore

        stores = [RecordStore(Path(folder)) for folder in job.logs]
        if not any(store.records() for store in stores):
            raise NothingToPrepareError(NO_RECORDS)
        report = self.compile(job, FirstMatch(tuple(stores)))
        # A model with only configs transferred from other networks' records is not tuned.
        if not any(choice.origin == "record" for choice in report.choices):
            raise NothingToPrepareError(NO_RECORDS)


RUNTIME = Runtime(
    name="tvmopt",
    title="tvmopt tuned",
    variant="FP32, tuned",
    about="This project's kernels with the best tuning records for this machine; run by the runtime linked into them.",
    packages=("tvmopt", "apache-tvm"),
    modules=("tvm",),
    runner=RunTvmopt,
    profiler=f"{__package__}.profiler:profile_tvmopt",
    peer=False,
    prepared="per threads",
    uses_records=True,
)
