"""The values that shared options accept, and the errors for those that they do not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import pytest

from tvmopt.cli.options import Duration, Integers, Names, OutputFile, Shape, Shapes, input_shape_option
from tvmopt.jobs.settings import resolve_target
from tvmopt.pipeline.errors import UsageError


def parse(kind: click.ParamType[Any], text: str) -> Any:
    return kind.convert(text, None, None)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("x:1,3,224,224", ("x", (1, 3, 224, 224))),
        ("input:0:1,3", ("input:0", (1, 3))),
        ("ids:7", ("ids", (7,))),
    ],
)
def test_shape(text: str, value: tuple[str, tuple[int, ...]]) -> None:
    assert parse(Shape(), text) == value


@pytest.mark.parametrize("text", ["", "x", "x:", ":1,3", "x:1,,3", "x:0,3", "x:-1,3", "x:1x3", "x:1, 3", "1,3,224,224"])
def test_wrong_shape(text: str) -> None:
    with pytest.raises(click.BadParameter, match="such as x:1,3,224,224; got"):
        parse(Shape(), text)


@pytest.mark.parametrize("text", ["x:{1,4},3", "x:1,{3}", "x:{1},{2,3}"])
def test_sets_of_sizes_where_one_size_is_needed(text: str) -> None:
    with pytest.raises(click.BadParameter, match="`tvmopt tune` take sets of sizes: give one size; got"):
        parse(Shape(), text)
    assert any(isinstance(size, tuple) for size in parse(Shapes(), text)[1])


@pytest.mark.parametrize(("text", "seconds"), [("300s", 300.0), ("5m", 300.0), ("1h", 3600.0), ("1.5m", 90.0)])
def test_duration(text: str, seconds: float) -> None:
    assert parse(Duration(), text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "5", "m", "-5m", "0s", "5d", "5 m", "1e400s", "9" * 400 + "s", "nan", "1h30m"])
def test_wrong_duration(text: str) -> None:
    with pytest.raises(click.BadParameter, match="such as 300s, 5m or 1h; got"):
        parse(Duration(), text)


def test_integers_are_distinct_and_in_order() -> None:
    assert parse(Integers(), "4,1,4") == (4, 1)


@pytest.mark.parametrize("text", ["", "0", "1,", "1;2", "a", "-1", "1.5"])
def test_wrong_integers(text: str) -> None:
    with pytest.raises(click.BadParameter, match="such as 1,4; got"):
        parse(Integers(), text)


def test_names_are_distinct_and_in_order() -> None:
    assert parse(Names(), "torch, onnxruntime,torch") == ("torch", "onnxruntime")


@pytest.mark.parametrize("text", ["", ",", "a,,b"])
def test_wrong_names(text: str) -> None:
    with pytest.raises(click.BadParameter, match="such as a,b; got"):
        parse(Names(), text)


def test_output_file_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "net.tar"
    assert parse(OutputFile(".tar"), str(path)) == path
    assert not path.exists()


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("net.zip", r"expected a name that ends with \.tar or \.tgz"),
        ("folder.tar", "is a folder"),
        ("absent/net.tar", "there is no folder"),
        ("file.txt/net.tar", "there is no folder"),
    ],
)
def test_wrong_output_file(name: str, complaint: str, tmp_path: Path) -> None:
    (tmp_path / "folder.tar").mkdir()
    (tmp_path / "file.txt").touch()
    with pytest.raises(click.BadParameter, match=complaint):
        parse(OutputFile(".tar", ".tgz"), str(tmp_path / name))


def shapes_of(*arguments: str) -> Any:
    """The value that a command receives as `input_shape`."""

    @click.command()
    @input_shape_option
    def command(input_shape: Any) -> Any:
        return input_shape

    return command.main(list(arguments), standalone_mode=False)


def test_input_shapes_become_a_mapping() -> None:
    assert shapes_of() == {}
    assert shapes_of("--input-shape", "a:1,2", "--input-shape", "b:3") == {"a": (1, 2), "b": (3,)}


def test_input_given_twice() -> None:
    with pytest.raises(click.BadParameter, match=r"input 'a' is given twice: \(1, 2\) and \(3,\)"):
        shapes_of("--input-shape", "a:1,2", "--input-shape", "a:3")


def test_target_is_resolved() -> None:
    assert resolve_target("aarch64", 2).key == "aarch64-neon-2t"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("arch64", "did you mean aarch64"),
        ("cuda:90", "such as cuda:sm_90"),
        ('{"kind":', "not valid JSON"),
        ('{"kind": "metal"}', "got 'metal'"),
    ],
)
def test_unknown_target(text: str, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        resolve_target(text)
