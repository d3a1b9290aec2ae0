"""The list of runtimes, and the contract that each of them meets; new runtimes are tested without changes here."""

from __future__ import annotations

import configparser
import importlib.util
import json
import re
import sys
from collections.abc import Iterable
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests import tiny
from tests.benchmarks.layered import ROOFLINE
from tests.conftest import ROOT, RunTvmopt
from tvmopt.benchmarks.comparison.admission import Cell, admit
from tvmopt.benchmarks.comparison.cell import measure_cell
from tvmopt.benchmarks.comparison.participant import Participant
from tvmopt.benchmarks.machine.environment import usable_cores
from tvmopt.benchmarks.measurements.layer_profile import LayerProfile
from tvmopt.benchmarks.measurements.layer_table import NoProfile
from tvmopt.benchmarks.measurements.options import CompareOptions, MeasureOptions
from tvmopt.benchmarks.runtimes import registry
from tvmopt.benchmarks.runtimes.base import THREADS, Runtime
from tvmopt.benchmarks.runtimes.onnxruntime.runner import RunOnnxruntime
from tvmopt.benchmarks.runtimes.pytorch.compiled import find_compiler
from tvmopt.benchmarks.runtimes.tvmopt.int8 import quantized_model
from tvmopt.benchmarks.workers.prepared_model import PreparedModel, add_reference, make_subject
from tvmopt.pipeline.devices.environments.registry import find_environment
from tvmopt.pipeline.errors import UsageError
from tvmopt.pipeline.graph.optimize import optimize
from tvmopt.pipeline.importers import load_model
from tvmopt.pipeline.importers.registry import IMPORTERS
from tvmopt.pipeline.records.store import RecordStore
from tvmopt.pipeline.support.progress import Steps
from tvmopt.pipeline.support.tolerances import COMPILED
from tvmopt.pipeline.tasks.extract import extract_tasks
from tvmopt.pipeline.types import ImportedModel
from tvmopt.schedules.registry import template_for
from tvmopt.schedules.target import parse_target

LISTED = (ROOT / "benchmarks" / "README.md").read_text()
PUBLISHED = [
    *("pytorch", "pytorch-compile", "onnxruntime", "openvino", "ncnn", "mnn", "litert"),
    *("onnxruntime-int8", "openvino-int8", "tvmopt-untuned", "tvmopt-transfer", "tvmopt"),
]
QUICK = MeasureOptions(rounds=5, turn_s=0.005, warmup_s=0.01, profile_s=0.1, calibration_samples=8)
INT8_TOLERANCE = 0.15
FP16_TOLERANCE = 0.01
HIDE = (
    "import importlib.util as util\nfind = util.find_spec\n"
    "util.find_spec = lambda name, *rest: None if name in {names!r} else find(name, *rest)\n"
)
"""A ``sitecustomize.py`` with which modules seem not to be installed."""

each_runtime = pytest.mark.parametrize("runtime", registry.RUNTIMES, ids=lambda runtime: runtime.name)


def make_runtime(profiler: str = "", unprofiled: str = "it tells nothing") -> Runtime:
    return Runtime(
        name="other",
        title="Other",
        variant="FP32",
        about="Another.",
        packages=("other",),
        modules=("no_such_module",),
        by_hand="pip install other",
        runner=RunOnnxruntime,
        profiler=profiler,
        unprofiled=unprofiled,
        peer=False,
    )


def declared(extra: str | None) -> set[str]:
    """Normalized names of the distributions that setup.cfg lists for tvmopt and its `extra`."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    lists = [config["options"]["install_requires"]]
    if extra is not None:
        lists.append(config["options.extras_require"][extra])
    found = {"tvmopt"}
    for line in (line.strip() for text in lists for line in text.splitlines()):
        if line and not line.startswith("#"):
            requirement = Requirement(line)
            found.add(canonicalize_name(requirement.name))
            for other in requirement.extras if requirement.name == "tvmopt" else ():
                found |= declared(other)
    return found


def test_published_names_keep_their_order() -> None:
    """Users' scripts and measurement files contain them; new names may come in between."""
    names = [runtime.name for runtime in registry.RUNTIMES]
    assert [name for name in names if name in PUBLISHED] == PUBLISHED


def test_names_are_unique_slugs() -> None:
    names = [runtime.name for runtime in registry.RUNTIMES]
    assert len(set(names)) == len(names)
    assert len({runtime.title for runtime in registry.RUNTIMES}) == len(names)
    assert all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name) for name in names)


def test_peers_are_the_other_projects_in_full_precision() -> None:
    narrow = {runtime.name for runtime in registry.RUNTIMES if runtime.quantized or runtime.half}
    ours = {runtime.name for runtime in registry.RUNTIMES if "tvmopt" in runtime.packages}
    assert set(registry.peers()).isdisjoint(narrow | ours)
    assert [name for name in registry.peers() if name in PUBLISHED] == PUBLISHED[:7]


def test_selection_keeps_the_order_of_the_list() -> None:
    assert [runtime.name for runtime in registry.select_runtimes(["tvmopt", "pytorch"])] == ["pytorch", "tvmopt"]
    assert registry.select_runtimes([]) == tuple(one for one in registry.RUNTIMES if not one.only_named)
    assert registry.select_runtimes(["all"]) == registry.select_runtimes([])
    named = ["onnxruntime", "tvmopt-called", "all"]
    assert set(registry.select_runtimes(named)) == {*registry.select_runtimes([]), *registry.select_runtimes(named[:2])}
    assert len(registry.select_runtimes(named)) == len(registry.select_runtimes([])) + 1


def test_a_row_for_each_number_of_streams() -> None:
    chosen = registry.select_runtimes(["openvino-fp16", "openvino-throughput", "openvino"], (2, 1))
    names = [runtime.name for runtime in chosen]
    assert names == ["openvino", "openvino-throughput-streams-1", "openvino-throughput-streams-2", "openvino-fp16"]
    assert [runtime.streams for runtime in chosen] == [0, 1, 2, 0]
    assert [runtime.title for runtime in chosen[1:3]] == [
        "OpenVINO throughput, 1 stream",
        "OpenVINO throughput, 2 streams",
    ]
    assert [registry.find_runtime(name).title for name in names] == [runtime.title for runtime in chosen]
    assert [runtime.name for runtime in registry.select_runtimes([names[1], "openvino-throughput"], (1,))] == names[1:2]
    assert sorted(["other", *reversed(names)], key=registry.place_of) == [*names, "other"]


def test_streams_of_a_runtime_that_has_none() -> None:
    with pytest.raises(UsageError, match="streams are for openvino-throughput, which is not among the runtimes"):
        registry.select_runtimes(["onnxruntime", "openvino"], (1, 2))
    for name in ("openvino-streams-2", "openvino-throughput-streams-0", "openvino-throughput-streams-2-streams-2"):
        assert registry.known_runtime(name) is None


def test_unknown_name() -> None:
    with pytest.raises(UsageError, match="unknown runtime 'openvin'; did you mean openvino"):
        registry.select_runtimes(["onnxruntime", "openvin"])


def test_missing_module_says_how_to_install() -> None:
    runtime = make_runtime()
    assert runtime.missing() == "no_such_module not installed: pip install other"
    assert runtime.versions() == {}


@pytest.mark.parametrize("facts", [{"profiler": "a:b"}, {"unprofiled": ""}])
def test_a_runtime_has_either_a_profiler_or_a_reason(facts: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="other: give either a profiler or the reason"):
        make_runtime(**facts)


def test_without_a_profiler_none_is_loaded() -> None:
    with pytest.raises(ValueError, match="other cannot be profiled: it tells nothing"):
        make_runtime().load_profiler()


@each_runtime
def test_it_says_what_it_is(runtime: Runtime) -> None:
    assert runtime.about.endswith(".")
    assert runtime.variant
    assert runtime.packages
    assert runtime.modules
    assert runtime.prepared in ("never", "per batch", "per threads")


def test_every_importers_original_runtime_is_there_and_takes_its_models() -> None:
    for importer in IMPORTERS:
        if importer.original_runtime:
            assert registry.find_runtime(importer.original_runtime).refusal(importer.kind) is None


def test_kinds_of_models_are_those_of_the_importers() -> None:
    known = {importer.kind for importer in IMPORTERS}
    for runtime in registry.RUNTIMES:
        assert set(runtime.kinds or ()) <= known
        for importer in IMPORTERS:
            taken = runtime.kinds is None or importer.kind in runtime.kinds
            refusal = f"not applicable: the model is {importer.title}"
            assert runtime.refusal(importer.kind) == (None if taken else refusal)


@each_runtime
def test_its_hint_installs_all_that_it_needs(runtime: Runtime) -> None:
    """Its extra and tvmopt install all its packages and modules, unless it must be installed by hand."""
    if runtime.by_hand:
        assert runtime.install == runtime.by_hand
        return
    assert runtime.install == (f"pip install 'tvmopt[{runtime.extra}]'" if runtime.extra else "pip install tvmopt")
    brought = declared(runtime.extra)
    assert {canonicalize_name(package) for package in runtime.packages} <= brought
    homes = metadata.packages_distributions()
    for module in runtime.modules:
        assert module not in homes or brought & {canonicalize_name(home) for home in homes[module]}, module


@each_runtime
def test_its_profiler_is_there_or_the_reason_is_one_line(runtime: Runtime) -> None:
    if runtime.profiler:
        assert callable(runtime.load_profiler())
    else:
        assert "\n" not in runtime.unprofiled


def test_references_take_their_kind_and_begin_with_the_original() -> None:
    own = {"python": "pytorch", "mxnet": "mxnet", "tensorflow": "tensorflow", "keras": "tensorflow", "tflite": "litert"}
    for kind, names in {"onnx": ["onnxruntime"], **{kind: [name, "onnxruntime"] for kind, name in own.items()}}.items():
        references = registry.reference_runtimes(kind)
        assert [runtime.name for runtime in references] == names
        assert [runtime.refusal(kind) for runtime in references] == [None] * len(names)
    assert registry.reference_runtimes("pt2") == registry.reference_runtimes("python")


@pytest.fixture(scope="module")
def subject(network: ImportedModel, tmp_path_factory: pytest.TempPathFactory) -> PreparedModel:
    """A small network in PyTorch with its reference outputs."""
    laid_out = make_subject(
        network, 1, tmp_path_factory.mktemp("subject"), CompareOptions("net.py:build", measure=QUICK), calibrate=True
    )
    add_reference(laid_out, usable_cores()[:1], QUICK.ready_timeout_s)
    return laid_out


@pytest.fixture(scope="module")
def logs(network: ImportedModel, subject: PreparedModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Records of the network's convolutions, in FP32 and in INT8, as if it had been tuned for one thread."""
    folder = tmp_path_factory.mktemp("logs")
    target, store = parse_target("llvm", 1), RecordStore(folder, "net")
    networks = [network]
    if importlib.util.find_spec("nncf") is not None:
        job = subject.job(registry.find_runtime("tvmopt-int8"), 1)
        networks.append(load_model(str(quantized_model(job))))
    for task in (task for each in networks for task in extract_tasks(optimize(each, target))):
        if task.workload.op in ("conv2d", "integer_conv2d"):
            default = template_for(task.workload, target).default(task.workload, target)
            store.append(tiny.record(task, target, default))
    return folder


def _allowed(runtime: Runtime) -> float:
    return INT8_TOLERANCE if runtime.quantized else FP16_TOLERANCE if runtime.half else COMPILED.float32


def make_cell(subject: PreparedModel, runtime: Runtime, logs: Iterable[Path] = ()) -> Cell:
    return Cell(subject, (runtime,), tuple(usable_cores()[:1]), tuple(logs), QUICK, ROOFLINE)


@pytest.mark.slow
@each_runtime
def test_installed_it_measures_and_profiles(runtime: Runtime, subject: PreparedModel, logs: Path) -> None:
    missing = runtime.refusal("python") or runtime.unfit() or runtime.missing()
    if missing:
        pytest.skip(missing)
    result = measure_cell(make_cell(subject, runtime, [logs]), Steps())
    (row,) = result.rows
    assert (row.runtime, row.status, row.message) == (runtime.name, "ok", "")
    assert row.output_error is not None
    assert row.output_error.relative < _allowed(runtime)
    assert row.latency_s is not None
    assert len(row.latency_s.turns) == QUICK.rounds
    assert len(row.latency_s.samples) == sum(row.latency_s.turns)
    assert min(row.latency_s.samples) > 0
    assert (row.prepare_s is None) == (runtime.prepared == "never")
    assert row.settings
    assert result.layers is not None
    entry = result.layers.entries[runtime.name]
    if runtime.unprofiled:
        assert entry == NoProfile("unavailable", runtime.unprofiled)
    else:
        assert isinstance(entry, LayerProfile), entry
        assert {layer for kernel in entry.kernels for layer in kernel.layers} == set(result.layers.order)


@each_runtime
def test_its_choices_are_told_apart(runtime: Runtime) -> None:
    names = [THREADS.name, *(choice.name for choice in runtime.choices)]
    assert len(set(names)) == len(names)
    for choice in runtime.choices:
        values = choice.alternatives(8)
        assert values
        assert len(set(values)) == len(values)
        assert choice.default not in values
        assert choice.about
        tried = [*choice.others, *(["2 and more, up to the threads"] if choice.counted_from == 2 else [])]
        pattern = rf"\| {re.escape(choice.name)} \| [^|]*\b{runtime.name}\b[^|]* \| {re.escape(choice.default)} \| "
        assert re.search(pattern + re.escape(", ".join(tried)), LISTED), choice


@pytest.mark.slow
@each_runtime
def test_every_value_of_its_choices_gives_right_outputs(runtime: Runtime, subject: PreparedModel, logs: Path) -> None:
    missing = runtime.refusal("python") or runtime.unfit() or runtime.missing()
    if missing or not runtime.choices:
        pytest.skip(missing or "no choices")
    cell = replace(make_cell(subject, runtime, [logs]), cores=tuple(usable_cores()[:2]))
    for choice in runtime.choices:
        for value in choice.alternatives(len(cell.cores)):
            entry = admit(cell, runtime, {choice.name: value})
            assert isinstance(entry, Participant), entry.message
            entry.start(cell.cores, subject.reference_outputs)
            entry.close()
            assert (value, entry.trouble) == (value, "")
            assert entry.error is not None
            assert entry.error.relative < _allowed(runtime)
            assert entry.settings[choice.name] == value


@pytest.mark.slow
@each_runtime
def test_not_installed_it_is_a_row_with_the_hint(
    runtime: Runtime, subject: PreparedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    unlike = runtime.refusal("python") or runtime.unfit()
    if unlike:
        pytest.skip(unlike)
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in runtime.modules else find(name))
    (row,) = measure_cell(make_cell(subject, runtime), Steps()).rows
    assert (row.runtime, row.status) == (runtime.name, "unavailable")
    assert row.message == f"{', '.join(runtime.modules)} not installed: {runtime.install}"


@pytest.mark.slow
def test_commands_end_well_where_no_extra_is_installed(run_tvmopt: RunTvmopt, tmp_path: Path) -> None:
    absent = [runtime for runtime in registry.RUNTIMES if runtime.extra or runtime.by_hand]
    hidden = {module for runtime in absent for module in runtime.modules}
    (tmp_path / "sitecustomize.py").write_text(HIDE.format(names=hidden))
    environment = {"PYTHONPATH": str(tmp_path), "TVMOPT_ENVIRONMENTS": str(tmp_path / "none")}
    listed = run_tvmopt("runtimes", environment=environment)
    assert listed.returncode == 0, listed.stderr
    model = tiny.save_two_convolutions(tmp_path)
    names = ",".join(["onnxruntime", *(runtime.name for runtime in absent)])
    options = ("--runtimes", names, "--rounds", "5", "--threads", "1", "--json", "out.json")
    compared = run_tvmopt("compare", model.name, *options, environment=environment)
    assert compared.returncode == 0, compared.stderr
    rows = {row["runtime"]: row for row in json.loads((tmp_path / "out.json").read_text())["measurements"]}
    assert rows.pop("onnxruntime")["status"] == "ok"
    assert list(rows) == [runtime.name for runtime in absent]
    runtimes, _, _ = listed.stdout.partition("In environments of their own:")
    lines = re.sub(r"\n +", " ", runtimes).splitlines()  # a long row goes on in the next line
    for runtime in absent:
        (line,) = (line for line in lines if line.startswith(f"{runtime.name} "))
        needs = find_environment(runtime.environment).packages if runtime.environment else runtime.modules
        missing = f"{', '.join(needs)} not installed: {runtime.install}"
        assert missing in line
        unlike = runtime.refusal("onnx") or runtime.unfit()
        row = rows[runtime.name]
        assert (row["status"], row["message"]) == ("not_applicable" if unlike else "unavailable", unlike or missing)


def test_litert_says_where_its_converter_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    if importlib.util.find_spec("ai_edge_litert") is None:
        pytest.skip("ai-edge-litert is not installed")
    monkeypatch.setenv("TVMOPT_LITERT_PYTHON", "/no/such/python")
    missing = registry.find_runtime("litert").missing()
    assert missing is not None
    assert missing.startswith("TVMOPT_LITERT_PYTHON=/no/such/python is not a Python: ")
    monkeypatch.delenv("TVMOPT_LITERT_PYTHON")
    monkeypatch.setenv("TVMOPT_ENVIRONMENTS", "/no/such/folder")
    missing = registry.find_runtime("litert").missing()
    assert missing in (None, "litert-torch not installed: tvmopt runtimes --install litert")
    monkeypatch.setenv("TVMOPT_LITERT_PYTHON", sys.executable)
    assert registry.find_runtime("litert").missing() is None


def test_torch_compile_needs_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)
    assert find_compiler() is None
    missing = registry.find_runtime("pytorch-compile").missing()
    assert missing is not None
    assert "needs a C++ compiler" in missing or "not installed" in missing
