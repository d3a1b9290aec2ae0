"""tvmopt with tuning records."""

from __future__ import annotations

from pathlib import Path

from benchmarks.runners.base import Job, NothingToPrepareError, Runtime
from benchmarks.runners.tvmopt_untuned import RunTvmoptUntuned

NO_RECORDS = "no records: run tvmopt tune or pass --tune-trials"


class RunTvmopt(RunTvmoptUntuned):
    """Compiles with the best records and runs the artifact with TVM's runtime alone."""

    def prepare(self, job: Job) -> None:
        """Compiles the model with the records of the job's logs.

        Raises:
            NothingToPrepareError: when there is no record for this model and machine.
        """
        if not job.logs or not Path(job.logs).is_dir():
            raise NothingToPrepareError(NO_RECORDS)
        from pipeline.records import RecordStore

        self.compile(job, RecordStore(Path(job.logs)))


RUNTIME = Runtime(
    name="tvmopt",
    title="tvmopt tuned",
    variant="FP32, tuned",
    about="This project's kernels with the best tuning records for this machine; run with TVM's runtime.",
    distributions=("tvmopt", "apache-tvm"),
    modules=("tvm",),
    install="pip install tvmopt",
    runner=RunTvmopt,
    prepared="per threads",
)
