"""Inputs to calibrate on: labelled sets, folders of pictures, arrays, and the photographs; and what is none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tvmopt.pipeline.data.calibration import Wanted, open_calibration
from tvmopt.pipeline.errors import InputFileError, ModelInputError, TvmoptError, UsageError
from tvmopt.pipeline.types import TensorSpec

PICTURE = TensorSpec("x", (1, 3, 8, 8), "float32")
ROW = TensorSpec("row", (2, 5), "float32")


def save_pictures(folder: Path, count: int, broken: int = 0) -> None:
    folder.mkdir(exist_ok=True)
    for number in range(count):
        Image.new("RGB", (8, 8), (number, 2 * number, 3 * number)).save(folder / f"{number:02d}.png")
    for number in range(broken):
        (folder / f"{number:02d} broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")


def values(feeds: object) -> list[float]:
    return [float(feed["x"][0, 0, 0, 0]) for feed in feeds]  # type: ignore[attr-defined]


def test_photographs_are_the_same_each_time() -> None:
    found = open_calibration(Wanted([PICTURE], "onnx", samples=3))
    first, again = list(found.feeds), list(found.feeds)
    assert len(first) == len(found.feeds) == 3
    assert all(feed["x"].shape == (1, 3, 8, 8) and feed["x"].dtype == np.float32 for feed in first)
    assert all(np.array_equal(a["x"], b["x"]) for a, b in zip(first, again, strict=True))
    assert len({feed["x"].tobytes() for feed in first}) == 3
    other = open_calibration(Wanted([PICTURE], "onnx", samples=3, seed=1))
    assert not np.array_equal(first[0]["x"], next(iter(other.feeds))["x"])
    assert found.origin == "3 random crops of scikit-learn's two sample photographs"
    assert found.labelled is None
    assert found.preprocessing is not None
    assert found.preprocessing.name == "imagenet"


def test_channels_may_be_last() -> None:
    (feed,) = open_calibration(Wanted([TensorSpec("x", (1, 8, 10, 3), "uint8")], "tflite", samples=1)).feeds
    assert (feed["x"].shape, feed["x"].dtype) == ((1, 8, 10, 3), np.uint8)


def test_a_folder_of_pictures(tmp_path: Path) -> None:
    save_pictures(tmp_path / "pictures", 6, broken=3)
    found = open_calibration(Wanted([PICTURE], "onnx", tmp_path / "pictures", "0..255", samples=100))
    assert sorted(values(found.feeds)) == [0, 1, 2, 3, 4, 5]
    assert found.feeds.skipped == 3
    assert found.labelled is None
    assert found.origin == f"9 of 9 samples of {tmp_path / 'pictures'}"
    few = open_calibration(Wanted([PICTURE], "onnx", tmp_path / "pictures", "0..255", samples=4))
    assert len(values(few.feeds)) == 4, "those that cannot be read are replaced"
    assert values(few.feeds) != sorted(values(few.feeds)), "they are drawn at random"


def test_a_labelled_set(tmp_path: Path) -> None:
    save_pictures(tmp_path / "cats", 2)
    save_pictures(tmp_path / "dogs", 3)
    found = open_calibration(Wanted([PICTURE], "onnx", tmp_path, "0..255"))
    assert sorted(values(found.feeds)) == [0, 0, 1, 1, 2]
    assert found.labelled is not None
    assert found.labelled.classes == ("cats", "dogs")


def test_a_batch_is_filled_by_repeating(tmp_path: Path) -> None:
    save_pictures(tmp_path / "pictures", 3)
    batch = TensorSpec("x", (2, 3, 8, 8), "float32")
    found = open_calibration(Wanted([batch], "onnx", tmp_path / "pictures", "0..255"))
    feeds = [feed["x"][:, 0, 0, 0].tolist() for feed in found.feeds]
    assert len(found.feeds) == len(feeds) == 2
    assert sorted(feeds[0] + feeds[1][:1]) == [0, 1, 2]
    assert feeds[1][0] == feeds[1][1]


@pytest.mark.parametrize("shape", [(3, 2, 5), (7, 5)], ids=["stacked feeds", "stacked samples"])
def test_arrays_by_name(tmp_path: Path, shape: tuple[int, ...]) -> None:
    array = np.arange(np.prod(shape), dtype=np.float64).reshape(shape)
    np.savez(tmp_path / "samples.npz", row=array, flag=np.arange(3))
    inputs = [ROW, TensorSpec("flag", (), "int64")]
    found = open_calibration(Wanted(inputs, "onnx", tmp_path / "samples.npz"))
    feeds = list(found.feeds)
    assert len(feeds) == 3
    whole = array.reshape(-1, 5)[:6].reshape(3, 2, 5)
    for feed in feeds:
        assert (feed["row"].shape, feed["row"].dtype) == ((2, 5), np.float32)
        assert np.array_equal(feed["row"], whole[int(feed["flag"])])
    assert len(list(open_calibration(Wanted(inputs, "onnx", tmp_path / "samples.npz", samples=2)).feeds)) == 2


def refused(inputs: list[TensorSpec], data: Path | None, kind: type[TvmoptError], says: str) -> None:
    with pytest.raises(kind, match=says):
        list(open_calibration(Wanted(inputs, "onnx", data)).feeds)


def test_what_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    save_pictures(tmp_path / "broken", 0, broken=2)
    np.savez(tmp_path / "wrong.npz", row=np.zeros((4, 3, 5), np.float32))
    np.savez(tmp_path / "complex.npz", row=np.zeros((4, 2, 5), np.complex64))
    np.savez(tmp_path / "uneven.npz", row=np.zeros((4, 2, 5), np.float32), x=np.zeros((3, 1, 3, 8, 8), np.float32))
    (tmp_path / "text.npz").write_text("not arrays")
    two = [ROW, PICTURE]
    refused(
        [ROW], None, UsageError, r"takes no pictures \(row 2×5 float32\).* give --data FILE.npz with an array 'row'"
    )
    refused(two, None, UsageError, "the model has 2 inputs .* with an array of samples for each")
    refused([PICTURE], tmp_path / "empty", InputFileError, "empty: has no pictures")
    refused([PICTURE], tmp_path / "nowhere", InputFileError, "nowhere: does not exist")
    refused([PICTURE], tmp_path / "broken", InputFileError, "broken: none of the 2 samples can be read")
    refused([ROW], tmp_path / "wrong.npz", ModelInputError, r"'row' have shape \(4, 3, 5\); expected one of 2×5 after")
    refused([ROW], tmp_path / "complex.npz", ModelInputError, "'row' are complex64, the model's input is float32")
    refused(two, tmp_path / "uneven.npz", ModelInputError, "same number of samples .* it has 4 of 'row', 3 of 'x'")
    refused([ROW], tmp_path / "text.npz", InputFileError, "text.npz: not a readable .npz file")


def test_arrays_are_not_prepared(tmp_path: Path) -> None:
    np.savez(tmp_path / "samples.npz", row=np.zeros((4, 2, 5), np.float32))
    with pytest.raises(UsageError, match="--preprocess is for pictures"):
        open_calibration(Wanted([ROW], "onnx", tmp_path / "samples.npz", preprocess="imagenet"))
