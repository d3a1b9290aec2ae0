"""Runs several builds of a model in turn and times their kernels.

Runs as ``python -m tvmopt.pipeline.tuning.rerank_worker SECONDS ARTIFACT…``, in a separate process because a kernel may
crash it, and returns the seconds of each kernel call, for each artifact and round. On one thread they are processor
time, so that other programs on the machine do not decide.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tvmopt.pipeline.artifact.check_golden import golden_outputs
from tvmopt.pipeline.artifact.kernel_by_kernel import time_steps
from tvmopt.pipeline.artifact.loaded import LoadedArtifact, load_artifact
from tvmopt.pipeline.devices.serve import Server

FEWEST_ROUNDS, MOST_ROUNDS = 9, 60


def main(arguments: Sequence[str]) -> None:
    """Runs the artifacts for about the given seconds, and answers with the times."""
    server = Server()
    seconds, paths = float(arguments[0]), arguments[1:]
    builds = [_load(Path(path)) for path in paths]
    times: list[list[tuple[float, ...]]] = [[] for _ in builds]
    began = time.monotonic()
    while len(times[0]) < FEWEST_ROUNDS or (len(times[0]) < MOST_ROUNDS and time.monotonic() - began < seconds):
        for build, taken in zip(builds, times, strict=True):
            build.run_only()  # so that the caches hold what this build leaves there, not another
            alone = build.manifest["target"]["threads"] == 1
            taken.append(tuple(step[0] for step in time_steps(build, 1, on_processor=alone).steps))
    server.give(times)


def _load(path: Path) -> LoadedArtifact:
    """The artifact with its golden inputs set, run once.

    Raises:
        ValueError: when its outputs are not the golden ones.
    """
    build = load_artifact(path)
    for output in golden_outputs(build):
        if not output.right:
            raise ValueError(f"output {output.name!r} is wrong: {output}")
    return build


if __name__ == "__main__":
    main(sys.argv[1:])
