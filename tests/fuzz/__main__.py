"""Compiles random graphs, and writes those that fail as small models.

Each family's seeds run in a process of their own, so that a seed that kills it is reported like any other.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import onnx

from tests.fuzz.drawing import draw
from tests.fuzz.judge import Failure
from tests.fuzz.search import FAMILIES, Found, attempt, save


def main() -> int:
    """Runs the seeds that the arguments say; the exit code is 1 if one of them failed."""
    parser = argparse.ArgumentParser("nox -s fuzz --", description=__doc__)
    parser.add_argument("--seeds", type=int, default=25, metavar="N", help="seeds of each family")
    parser.add_argument("--from", type=int, default=0, dest="first", metavar="S", help="the first seed")
    parser.add_argument("--family", choices=FAMILIES, action="append", help="by default all")
    parser.add_argument("--minimise", type=float, default=120.0, metavar="SECONDS", help="for each that fails")
    parser.add_argument("--out", type=Path, default=Path("build/fuzz"), metavar="FOLDER", help="for models that fail")
    options = parser.parse_args()
    failed = 0
    for family in options.family or FAMILIES:
        failed += _run(family, range(options.first, options.first + options.seeds), options.minimise, options.out)
    _say(f"{failed} seeds failed" if failed else "all seeds are right")
    return min(failed, 1)


def _run(family: str, seeds: range, limit_s: float, folder: Path) -> int:
    pool, failed = _pool(), 0
    for seed in seeds:
        try:
            answer = pool.submit(attempt, family, seed, limit_s).result()
        except BrokenProcessPool:
            pool = _pool()
            answer = (Failure("run", "the process died"), draw(FAMILIES[family], seed).SerializeToString())
        if answer is None:
            continue
        failed += 1
        failure, content = answer
        found = Found(failure, onnx.load_model_from_string(content))
        path = save(found, family, seed, folder)
        operators = " ".join(node.op_type for node in found.model.graph.node)
        _say(f"{family} {seed}: {failure.stage}: {failure.message}\n    {path}: {operators}")
    pool.shutdown()
    _say(f"{family}: {len(seeds)} seeds from {seeds.start} on, {failed} failed")
    return failed


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _pool() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))


if __name__ == "__main__":
    sys.exit(main())
