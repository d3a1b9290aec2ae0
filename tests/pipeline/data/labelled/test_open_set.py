"""Every form of a labelled set, and everything that is wrong with one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.pipeline.data import labelled_files as labelled
from tvmopt.pipeline.data.labelled.open_set import is_labelled, open_labelled
from tvmopt.pipeline.data.labelled.sample_set import LabelledSet, UnreadableSampleError
from tvmopt.pipeline.errors import InputFileError

DIGITS = np.arange(4 * 5 * 6, dtype=np.uint8).reshape(4, 5, 6)
NUMBERS = np.array([3, 0, 3, 1])


def refused(path: Path) -> str:
    with pytest.raises(InputFileError) as caught:
        open_labelled(path)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_a_folder_for_each_class_by_number(tmp_path: Path) -> None:
    samples = open_labelled(labelled.save_folders(tmp_path, ("0", "11", "2"), 2))
    assert samples.numbers == [0, 0, 11, 11, 2, 2]
    assert samples.names[2:4] == ["11/0.png", "11/1.png"]
    assert samples.classes == ()
    assert samples.read(3).shape == (7, 9, 3)
    assert samples.read(3)[0, 0].tolist() == [10, 201, 10]


def test_a_folder_for_each_class_by_name(tmp_path: Path) -> None:
    samples = open_labelled(labelled.save_folders(tmp_path, ("owl", "ape", "bee"), 1))
    assert samples.classes == ("ape", "bee", "owl")
    assert samples.numbers == [0, 1, 2]
    assert not samples.complete


def test_a_list_of_classes_numbers_the_folders(tmp_path: Path) -> None:
    labelled.save_folders(tmp_path, ("owl", "ape"), 1)
    (tmp_path / "classes.txt").write_text("cat\nowl the bird\nape\n")
    samples = open_labelled(tmp_path)
    assert samples.numbers == [2, 1]
    assert samples.complete
    (tmp_path / "classes.txt").write_text("cat\nowl\n")
    assert "does not list the class 'ape'" in refused(tmp_path)


@pytest.mark.parametrize("separator", [" ", "\t", ",", ", "])
def test_a_list_of_pictures(tmp_path: Path, separator: str) -> None:
    labelled.save_plain(tmp_path / "in" / "a b.png", (1, 2, 3))
    labelled.save_plain(tmp_path / "c.png", 9)
    (tmp_path / "val.txt").write_text(f"# mine\nin/a b.png{separator}7\n\nc.png{separator}0\n")
    for path in (tmp_path, tmp_path / "val.txt"):
        samples = open_labelled(path)
        assert samples.numbers == [7, 0]
        assert samples.read(0)[0, 0].tolist() == [1, 2, 3]
        assert samples.read(1).shape == (7, 9, 1)


def test_pictures_elsewhere_decide_the_fingerprint(tmp_path: Path) -> None:
    pictures = [labelled.save_plain(tmp_path / "elsewhere" / f"{number}.png", number) for number in range(2)]
    listed = tmp_path / "set" / "val.txt"
    listed.parent.mkdir()
    listed.write_text(f"{pictures[0]} 0\n{pictures[1]} 1\n")
    before = open_labelled(listed).fingerprint
    assert open_labelled(listed).fingerprint == before
    labelled.save_plain(pictures[1], 9, (20, 20))
    assert open_labelled(listed).fingerprint != before


def test_a_list_that_is_none(tmp_path: Path) -> None:
    listed = tmp_path / "list.txt"
    listed.write_text("a.png\n")
    assert f"{listed}:1: expected a picture and its label" in refused(tmp_path)
    listed.write_text("a.png 1\nb.png 2\n")
    assert "none of its 2 pictures exists" in refused(tmp_path)


@pytest.mark.parametrize("packed", [True, False])
def test_idx_files(tmp_path: Path, packed: bool) -> None:
    labelled.save_idx(tmp_path, DIGITS[:2], NUMBERS[:2], "train", packed)
    labelled.save_idx(tmp_path, DIGITS, NUMBERS, "t10k", packed)
    samples = open_labelled(tmp_path)
    assert samples.numbers == [3, 0, 3, 1]  # those of the test part
    assert np.array_equal(samples.read(2)[..., 0], DIGITS[2])
    (images,) = tmp_path.glob("train-images*")
    assert len(open_labelled(images)) == 2


def test_idx_files_that_are_damaged(tmp_path: Path) -> None:
    labelled.save_idx(tmp_path, DIGITS, NUMBERS, packed=False)
    images, labels = (tmp_path / f"t10k-{name}-ubyte" for name in ("images-idx3", "labels-idx1"))
    whole = images.read_bytes()
    images.write_bytes(whole[:-7])
    assert "is truncated: it has 113 of 120 bytes" in refused(tmp_path)
    images.write_bytes(whole[:5])
    assert "not an idx file of bytes in 3 dimensions" in refused(tmp_path)
    images.write_bytes(b"\x1f\x8b" + whole[2:])
    assert "cannot be read" in refused(tmp_path)
    images.write_bytes(labelled.idx_bytes(DIGITS[:3]))
    assert "has 3 pictures, t10k-labels-idx1-ubyte 4 labels" in refused(tmp_path)
    labels.unlink()
    assert "has no labels beside it" in refused(tmp_path)


def test_arrays(tmp_path: Path) -> None:
    path = tmp_path / "set.npz"
    colour = np.arange(4 * 3 * 5 * 6, dtype=np.uint8).reshape(4, 3, 5, 6)
    np.savez(path, images=colour, labels=NUMBERS)
    samples = open_labelled(path)
    assert samples.pictures
    assert np.array_equal(samples.read(1), colour[1].transpose(1, 2, 0))
    np.savez(path, x=colour.astype(np.float32), y=np.eye(4)[NUMBERS])
    samples = open_labelled(path)
    assert not samples.pictures
    assert samples.numbers == [3, 0, 3, 1]
    assert samples.read(1).shape == (3, 5, 6)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"images": DIGITS}, "has no labels"),
        ({"labels": NUMBERS}, "has no samples"),
        ({"images": DIGITS, "labels": NUMBERS[:3]}, "there are 3 labels"),
        ({"images": DIGITS, "labels": NUMBERS + 0.5}, "must number the class"),
        ({"images": DIGITS, "labels": NUMBERS - 1}, "must number the class"),
        ({"images": DIGITS, "labels": NUMBERS * 0}, "all 4 samples are of one class (number 0)"),
        ({"images": DIGITS[:0], "labels": NUMBERS[:0]}, "has no samples"),
        ({"images": np.zeros((4, 5, 6, 2), np.uint8), "labels": NUMBERS}, "1 or 3 channels"),
    ],
)
def test_arrays_that_do_not_go_together(tmp_path: Path, arrays: dict[str, np.ndarray], message: str) -> None:
    np.savez(tmp_path / "set.npz", **arrays)
    assert message in refused(tmp_path / "set.npz")


def test_what_is_no_labelled_set(tmp_path: Path) -> None:
    assert "does not exist" in refused(tmp_path / "nowhere")
    assert "has no labelled pictures" in refused(tmp_path)
    labelled.save_plain(tmp_path / "a.png", 3)
    assert not is_labelled(tmp_path)  # pictures without labels
    assert "has no labelled pictures" in refused(tmp_path)
    (tmp_path / "set.npz").write_bytes(b"PK\x03\x04 not whole")
    assert "not a readable .npz file" in refused(tmp_path / "set.npz")
    labelled.save_folders(tmp_path / "one", ("owl",))
    assert "all 3 samples are of one class (owl)" in refused(tmp_path / "one")
    assert is_labelled(tmp_path / "one")


def test_corrupt_pictures_are_found_when_they_are_read(tmp_path: Path) -> None:
    samples = open_labelled(labelled.save_folders(tmp_path, count=1))
    (tmp_path / "1" / "0.png").write_bytes(b"\x89PNG nothing more")
    with pytest.raises(UnreadableSampleError, match=r"0\.png: not a picture that can be read"):
        samples.read(1)
    assert len(list(samples.readable())) == 2
    assert len(list(samples.readable(1))) == 1


def test_a_picture_whose_metadata_are_damaged(tmp_path: Path) -> None:
    labelled.save_folders(tmp_path, count=1)
    # The resolution is a text: Pillow cannot write the metadata anew when it turns the picture.
    turned = bytes.fromhex("0002 0112 0003 00000001 00060000 011A 0002 00000004 41424300 00000000")
    for name, metadata in (("1/0.png", b"Exif\0\0no TIFF"), ("1/1.jpg", b"Exif\0\0MM\0*\0\0\0\x08" + turned)):
        Image.new("RGB", (9, 7)).save(tmp_path / name, exif=metadata)
    samples = open_labelled(tmp_path)
    for place in (1, 2):
        with pytest.raises(UnreadableSampleError, match=r"[01]\....: not a picture that can be read"):
            samples.read(place)
    assert len(list(samples.readable())) == 2


def test_text_files_that_are_not_utf_8(tmp_path: Path) -> None:
    latin = "Bär\nKüken\n".encode("latin-1")
    labelled.save_folders(tmp_path / "folders")
    (tmp_path / "folders" / "classes.txt").write_bytes(latin)
    assert "classes.txt: not a text file in UTF-8: byte 1 is 0xe4" in refused(tmp_path / "folders")
    (tmp_path / "list.txt").write_bytes(latin)
    assert "list.txt: not a text file in UTF-8" in refused(tmp_path / "list.txt")
    voc(tmp_path / "VOC")
    (tmp_path / "VOC" / "classes.txt").write_bytes(latin)
    assert "classes.txt: not a text file in UTF-8" in refused(tmp_path / "VOC")
    (tmp_path / "VOC" / "ImageSets" / "Main").mkdir(parents=True)
    (tmp_path / "VOC" / "ImageSets" / "Main" / "val.txt").write_bytes(latin)
    assert "val.txt: not a text file in UTF-8" in refused(tmp_path / "VOC")


def test_a_random_part_is_the_same_every_time(tmp_path: Path) -> None:
    samples = open_labelled(labelled.save_folders(tmp_path, count=5))
    parts = [samples.random_part(6, seed) for seed in (1, 1, 2)]
    assert parts[0].names == parts[1].names != parts[2].names
    assert parts[0].fingerprint == parts[1].fingerprint != parts[2].fingerprint
    assert [parts[0].label(place) for place in range(6)] == list(parts[0].numbers)
    assert [samples.names.index(name) for name in parts[0].names] == sorted(map(samples.names.index, parts[0].names))
    assert samples.random_part(99) is samples


def voc(root: Path) -> Path:
    for number in range(3):
        labelled.save_plain(root / "JPEGImages" / f"{number}.jpg", (number, 0, 0), (20, 10))
    objects = [("cat", (1, 1, 10, 10), False), ("dog", (11, 1, 20, 5), True), ("unicorn", (1, 1, 2, 2), False)]
    labelled.save_annotation(root / "Annotations" / "0.xml", (20, 10), *objects)
    labelled.save_annotation(root / "Annotations" / "1.xml", (20, 10))
    return root


def test_boxes_of_voc(tmp_path: Path) -> None:
    voc(tmp_path / "VOC2007")
    samples = open_labelled(tmp_path)
    assert (samples.kind, samples.names) == ("boxes", ["0.jpg", "1.jpg"])
    objects = samples.label(0)
    assert [samples.classes[number] for number in objects.classes] == ["cat", "dog"]  # VOC has no unicorns
    assert objects.boxes.tolist() == [[0, 0, 0.5, 1], [0.5, 0, 1, 0.5]]
    assert objects.difficult.tolist() == [False, True]
    assert samples.label(1).boxes.shape == (0, 4)


@pytest.mark.parametrize(
    "content",
    ["", "<annotation>", "<annotation/>", '<!DOCTYPE a [<!ENTITY b "c">]><annotation>&b;</annotation>'],
)
def test_annotations_that_cannot_be_read(tmp_path: Path, content: str) -> None:
    samples = open_labelled(voc(tmp_path))
    (tmp_path / "Annotations" / "0.xml").write_text(content)
    with pytest.raises(UnreadableSampleError, match=r"0\.xml"):
        samples.label(0)


def test_masks_of_voc(tmp_path: Path) -> None:
    voc(tmp_path)
    mask = np.zeros((10, 20), np.uint8)
    mask[:, 5:], mask[0] = 12, 255
    labelled.save_picture(tmp_path / "SegmentationClass" / "2.png", mask)
    (tmp_path / "ImageSets" / "Segmentation").mkdir(parents=True)
    (tmp_path / "ImageSets" / "Segmentation" / "val.txt").write_text("2\n")
    samples = open_labelled(tmp_path, "masks")
    assert (samples.kind, samples.names) == ("masks", ["2.jpg"])
    expected = np.where(mask == 255, -1, mask.astype(np.int64))
    assert np.array_equal(samples.label(0), expected)


def test_a_set_of_classes_has_what_a_metric_needs(tmp_path: Path) -> None:
    samples: LabelledSet = open_labelled(labelled.save_folders(tmp_path))
    assert samples.kind == "classes"
    assert [samples.label(place) for place in range(9)] == [0, 0, 0, 1, 1, 1, 2, 2, 2]


def test_a_set_with_masks_alone_has_masks(tmp_path: Path) -> None:
    voc(tmp_path)
    labelled.save_picture(tmp_path / "SegmentationClass" / "2.png", np.full((10, 20), 12, np.uint8))
    assert open_labelled(tmp_path).kind == "boxes"
    for file in (tmp_path / "Annotations").iterdir():
        file.unlink()
    assert open_labelled(tmp_path).kind == "masks"
    (tmp_path / "Annotations").rmdir()
    assert open_labelled(tmp_path).names == ["2.jpg"]
    with pytest.raises(InputFileError, match="has no pictures with labels"):
        open_labelled(tmp_path, "boxes")
