"""Runs cases, one after the other, in a process that keeps TVM loaded."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tvmopt.pipeline.devices.serve import Server

if TYPE_CHECKING:
    import onnx

    from tvmopt.benchmarks.conformance.cases import Case
    from tvmopt.benchmarks.conformance.outcome import Array, Outcome

    Run = Callable[[Mapping[str, Array]], Mapping[str, Array]]


def run_case(case: Case, program: str) -> Outcome:
    """How ``onnxruntime`` or ``tvmopt`` does in `case`: it loads the model and runs it on the data."""
    from tvmopt.benchmarks.conformance.cases import read_case
    from tvmopt.benchmarks.conformance.outcome import Outcome, differences
    from tvmopt.pipeline.errors import TvmoptError

    load = {"onnxruntime": _with_onnxruntime, "tvmopt": _with_tvmopt}[program]
    try:
        model, sets = read_case(case)
    except TypeError as error:
        return Outcome("unknown type", str(error))
    with tempfile.TemporaryDirectory() as folder:
        try:
            run = load(model, Path(folder))
            for data in sets:
                wrong = differences(data.outputs, run(data.inputs))
                if wrong:
                    return Outcome("wrong", wrong)
        except TvmoptError as error:
            return Outcome("refused", f"{type(error).__name__}: {str(error).removeprefix(f'{folder}/model.onnx: ')}")
        except Exception as error:  # noqa: BLE001  # what this program looks for
            return Outcome("crash", f"{type(error).__name__}: {' '.join(str(error).split())[:300]}{_place(error)}")
    return Outcome("pass")


def _place(error: BaseException) -> str:
    """Where an exception was raised: the last of our own files in its traceback."""
    trace, found = error.__traceback__, ""
    while trace is not None:
        name = Path(trace.tb_frame.f_code.co_filename)
        if {"pipeline", "schedules"} & set(name.parts):
            found = f" ({name.parent.name}/{name.name}:{trace.tb_lineno})"
        trace = trace.tb_next
    return found


def _with_onnxruntime(model: onnx.ModelProto, folder: Path) -> Run:
    from tvmopt.pipeline.errors import UnsupportedModelError
    from tvmopt.pipeline.support.onnxruntime import open_session

    session = open_session(model, "ORT_ENABLE_ALL")
    names = [output.name for output in session.get_outputs()]

    def run(inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        try:
            return dict(zip(names, session.run(names, dict(inputs)), strict=True))
        except Exception as error:  # its exceptions have no common base class
            raise UnsupportedModelError(str(error)) from error

    return run


def _with_tvmopt(model: onnx.ModelProto, folder: Path) -> Run:
    import onnx

    from tvmopt.pipeline.artifact.loaded import load_artifact
    from tvmopt.pipeline.compiler.compile import compile_model
    from tvmopt.pipeline.importers import load_model
    from tvmopt.schedules.target import parse_target

    onnx.save(model, folder / "model.onnx")
    imported = load_model(str(folder / "model.onnx"))
    compile_model(imported, parse_target("llvm", 1), None, folder / "model.tar")
    return load_artifact(folder / "model.tar").run


def main() -> None:
    """Answers each command, a program and the fields of a case, with the outcome."""
    server = Server()

    from tvmopt.benchmarks.conformance.cases import Case
    from tvmopt.pipeline.support.tvm import import_compiler

    import_compiler()

    def answer(command: dict[str, Any]) -> dict[str, Any]:
        case = Case(command["test"], command["operator"], command["form"], Path(command["folder"]))
        return run_case(case, command["program"]).to_json()

    server.serve(answer)


if __name__ == "__main__":
    main()
