"""tvmopt with tuning records."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tvmopt.benchmarks.runtimes.base import Job, NothingToPrepareError, Runtime
from tvmopt.benchmarks.runtimes.tvmopt.untuned import RunTvmoptUntuned

if TYPE_CHECKING:
    from tvmopt.pipeline.records.lookup import Records

NO_RECORDS = "no records: run tvmopt tune or pass --tune-trials"


def records_of(job: Job) -> Records | None:
    """The records of the job's logs, of which the first folder that has one decides; None when all are empty."""
    from tvmopt.pipeline.records.lookup import FirstMatch
    from tvmopt.pipeline.records.store import RecordStore

    stores = [RecordStore(Path(folder)) for folder in job.logs]
    return FirstMatch(tuple(stores)) if any(store.records() for store in stores) else None


class RunTvmopt(RunTvmoptUntuned):
    """Compiles with the best records and runs the artifact."""

    def prepare(self, job: Job) -> None:
        """Compiles the model with the records of the job's logs.

        Raises:
            NothingToPrepareError: when there is no record for this model, machine and thread count.
        """
        records = records_of(job)
        if records is None:
            raise NothingToPrepareError(NO_RECORDS)
        report = self.compile(job, records)
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
