"""The structure of all kernels: parallel loops, vectors, and no naive loops left."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from tests.schedules.samples import workloads
from tests.workloads.recurrences import recurrence
from tvmopt.schedules.expression import ACC, Arg, call
from tvmopt.schedules.llvm.convolution.direct import PREFETCH
from tvmopt.schedules.llvm.parts.emit import SPREAD
from tvmopt.schedules.registry import llvm_templates, template_for
from tvmopt.schedules.target import Target, parse_target
from tvmopt.schedules.workload import Tensor, Workload

X86 = replace(parse_target("x86-64-v3", 2), features=("avx_vnni",))
ONE = replace(X86, threads=1)
LANES = X86.lanes("float32")

Wide = Callable[..., Workload]


NAMES = [
    *("conv2d", "depthwise_conv2d", "integer_conv2d", "integer_depthwise_conv2d"),
    *("separable_conv2d", "expanded_conv2d"),
    *("conv3d", "transposed_conv2d"),
    *("depthwise_conv3d", "transposed_depthwise"),
    *("dense", "integer_dense", "integer_product", "pool2d"),
    *("pointwise", "pointwise plain", "table"),
    *(
        "concat",
        "channels",
        "relayout",
        "depth_to_space",
        "copy",
        "pad",
        "concat rows",
        "reduce",
        "reduce columns",
        "row_norm",
        "map_norm",
        "channel_norm",
        "lrn",
        "softmax",
    ),
    *("resize2d", "top_k", "top_k of many", "take", "pick", "suppress", "find", "attention", "recurrence"),
]


ACCUMULATING = [
    "conv2d",
    "integer_conv2d",
    "integer_depthwise_conv2d",
    "depthwise_conv2d",
    "separable_conv2d",
    "expanded_conv2d",
    "conv3d",
    "transposed_conv2d",
    "depthwise_conv3d",
    "transposed_depthwise",
    "dense",
    "integer_dense",
    "integer_product",
    "pool2d",
    "recurrence",
]


def nodes(function: Any, *types: Any) -> list[Any]:
    import tvm_ffi

    found: list[Any] = []
    tvm_ffi.structural_walk(function.body, (types, found.append), order="pre")
    return found


def parallel_loops(function: Any) -> list[Any]:
    from tvm import tirx

    return [loop for loop in nodes(function, tirx.For) if int(loop.kind) == int(tirx.ForKind.PARALLEL)]


def stores(function: Any, *, to_own: bool) -> list[Any]:
    """A kernel's stores to buffers that it allocates, or to its arguments."""
    from tvm import tirx

    own = [statement.buffer for statement in nodes(function, tirx.AllocBuffer)]
    found = nodes(function, tirx.BufferStore)
    return [store for store in found if any(store.buffer.same_as(buffer) for buffer in own) is to_own]


def functions(workload: Workload, target: Target, count: int = 4) -> Iterator[Any]:
    """The default kernel, then some others."""
    template = template_for(workload, target)
    space = list(template.space(workload, target))
    for config in (template.default(workload, target), *space[:: max(1, len(space) // count)]):
        yield template.build(workload, target, config)


def test_every_template_has_a_workload_here(wide: Wide, make: Callable[..., Workload]) -> None:
    made = workloads(wide, make)
    assert list(made) == NAMES
    used = {template_for(workload, X86).name for workload in made.values()}
    assert used == {template.name for template in llvm_templates()}


# Each place that `find` writes depends on all before it.
@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("recurrence", "find")])
def test_one_outer_loop_is_divided(wide: Wide, make: Callable[..., Workload], name: str) -> None:
    for function in functions(workloads(wide, make)[name], X86):
        (loop,) = parallel_loops(function)
        assert int(loop.extent) >= X86.threads


def test_a_recurrence_divides_its_chains_or_each_step() -> None:
    """The tiles of all steps are divided in one parallel region: there is only one launch."""
    from tvm import tirx

    two = recurrence("gru", steps=4, batch=2, hidden=128)
    template = template_for(two, X86)
    default = {**template.default(two, X86), "rows": 1, "blocks": 1}
    chains = template.build(two, X86, {**default, "split": 0})
    assert [int(loop.extent) for loop in parallel_loops(chains)] == [2]
    assert nodes(chains, tirx.AttrStmt) == []
    tiles = template.build(two, X86, {**default, "split": 1})
    # Two stages, in the first step and in the loop over the others.
    assert [int(loop.extent) for loop in parallel_loops(tiles)] == [16] * 4
    keys = [str(statement.attr_key) for statement in nodes(tiles, tirx.AttrStmt)]
    assert keys == ["pragma_parallel_launch_point"]
    assert len(nodes(tiles, tirx.While)) == 4


@pytest.mark.parametrize("name", NAMES)
def test_one_thread_has_nothing_to_divide(wide: Wide, make: Callable[..., Workload], name: str) -> None:
    for function in functions(workloads(wide, make)[name], ONE):
        assert parallel_loops(function) == []


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("depth_to_space", "pick")])
def test_results_are_stored_in_vectors(wide: Wide, make: Callable[..., Workload], name: str) -> None:
    from tvm import tirx

    for function in functions(workloads(wide, make)[name], X86):
        # A reduction of rows stores one number per row; its vectors run along the row.
        written = stores(function, to_own=name == "reduce")
        assert any(isinstance(store.indices[-1], tirx.Ramp) for store in written)


@pytest.mark.parametrize("name", NAMES)
def test_kernels_say_that_they_are_scheduled(wide: Wide, make: Callable[..., Workload], name: str) -> None:
    for function in functions(workloads(wide, make)[name], X86, count=1):
        assert function.attrs["tirx.is_scheduled"]
        assert function.attrs["tirx.noalias"]
        assert len(function.params) == len(workloads(wide, make)[name].inputs) + 1


@pytest.mark.parametrize("name", ACCUMULATING)
def test_accumulators_have_constant_places(wide: Wide, make: Callable[..., Workload], name: str) -> None:
    """Only then does LLVM keep them in registers."""
    from tvm import tirx

    for function in functions(workloads(wide, make)[name], X86, count=20):
        one_vector = [store for store in stores(function, to_own=True) if list(store.buffer.shape) == [LANES]]
        places = [store.indices[-1] for store in one_vector]
        assert places
        for place in places:
            assert isinstance(place.base if isinstance(place, tirx.Ramp) else place, tirx.IntImm)


def test_a_flat_convolution_has_no_row_of_its_own(wide: Wide) -> None:
    """Without halos, a 1×1 convolution of 7×7 maps has 49 pixels in one row: tiles of seven leave no tail."""
    workload = wide(LANES, (1, LANES, 7, 7), LANES, (1, 1))
    template = template_for(workload, X86)
    sizes = {knob.name: knob.values for knob in template.space(workload, X86).knobs}
    assert sizes["rows"] == (1,)
    assert 7 in sizes["columns"]


def test_prefetching_asks_for_each_line_once(wide: Wide) -> None:
    workload = wide(LANES, (1, LANES, 8, 8), 2 * LANES, (1, 1))
    template = template_for(workload, X86)
    default = {**template.default(workload, X86), "data_ahead": 0, "result_ahead": 0}
    texts = [str(template.build(workload, X86, {**default, "prefetch": distance})) for distance in PREFETCH]
    counts = dict(zip(PREFETCH, (text.count("prefetch") for text in texts), strict=True))
    assert counts[0] == 0
    assert counts[256] == counts[512] > counts[SPREAD] > 0


def test_a_tile_prefetches_its_operands_and_results(wide: Wide) -> None:
    shape = (1, LANES, 8, 8)
    residual = Tensor(shape, block=LANES)
    epilogue = call("add", ACC, Arg(2))
    plain, added = (
        wide(LANES, shape, LANES, (1, 1), extra=extra, epilogue=expr)
        for extra, expr in (([], ACC), ([residual], epilogue))
    )
    counts = []
    for workload in (plain, added):
        template = template_for(workload, X86)
        default = {**template.default(workload, X86), "data_ahead": 0, "prefetch": 0}
        with_it, without = (
            str(template.build(workload, X86, {**default, "result_ahead": ahead})).count("prefetch") for ahead in (1, 0)
        )
        assert without == 0
        counts.append(with_it)
    assert counts[1] == 2 * counts[0] > 0


def test_a_single_task_is_no_loop(make: Callable[..., Workload]) -> None:
    workload = make(
        "pool2d",
        (Tensor((1, 4, 1, 3), block=LANES),),
        Tensor((1, 4, 1, 2), block=LANES),
        kind="max",
        kernel=(1, 2),
        strides=(1, 1),
        pads=(0, 0, 0, 0),
        count_pads=0,
    )
    for function in functions(workload, X86):
        assert parallel_loops(function) == []
