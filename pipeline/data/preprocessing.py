"""From a picture to an input of a model: size, order of colours, scale, layout.

The presets are those with which image networks are trained: ``imagenet`` as torchvision's reference training
(references/classification/presets.py), ``caffe`` as the networks of Caffe's model zoo, the others as TensorFlow's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tvmopt.pipeline.data.labelled.sample_set import LabelledSet
from tvmopt.pipeline.data.user_function import load_function, names_function
from tvmopt.pipeline.errors import ModelInputError, UsageError, did_you_mean
from tvmopt.pipeline.types import TensorSpec

_CROP = 0.875
"""The part of a picture's shorter side that is kept: 224 of 256 pixels."""


@dataclass(frozen=True, slots=True)
class Scale:
    """What becomes of a pixel's value from 0 to 255: less `mean`, over `deviation`, each for red, green, blue.

    Attributes:
        mean, deviation: in the order red, green, blue.
        reverse: whether channels come as blue, green, red.
    """

    mean: tuple[float, float, float]
    deviation: tuple[float, float, float]
    reverse: bool = False


PRESETS = {
    "imagenet": Scale((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
    "caffe": Scale((123.68, 116.779, 103.939), (1.0, 1.0, 1.0), reverse=True),
    "0..1": Scale((0.0, 0.0, 0.0), (255.0, 255.0, 255.0)),
    "-1..1": Scale((127.5, 127.5, 127.5), (127.5, 127.5, 127.5)),
    "0..255": Scale((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
}
"""The presets by name; an input of signed bytes gets 128 less with ``0..255``."""

AS_IT_IS = "as it is"
"""What reports call the preparation of samples that are inputs already."""


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """How samples become inputs of a model.

    Attributes:
        name: a preset, `AS_IT_IS`, or the user's function.
        why: why it was taken, when the user did not say; else empty.
        shape: the shape of an input, without the batch's dimension.
        prepare: makes an input, of the model's dtype and `shape`, of one sample.
    """

    name: str
    why: str
    shape: tuple[int, ...]
    prepare: Callable[[np.ndarray], np.ndarray]


def choose_preprocessing(asked: str | None, spec: TensorSpec, samples: LabelledSet, model_kind: str) -> Preprocessing:
    """How `samples` become inputs.

    Args:
        asked: a preset's name, ``path.py:function`` (from a picture, uint8 of height × width × channels, to an input),
            or None for the preset that suits the model.
        spec: the model's only input, the batch first.
        samples: the set.
        model_kind: the kind of the model's importer; networks of some frameworks have customs of their own.

    Raises:
        UsageError: there is no such preset, or samples that are no pictures are to be scaled.
        ModelInputError: the model takes no pictures, or samples do not fit its input.
    """
    shape = spec.shape[1:]
    if asked is not None and names_function(asked):
        return Preprocessing(asked, "", shape, _by_function(asked, spec))
    if asked is not None and asked not in PRESETS:
        raise UsageError(did_you_mean("preprocessing", asked, (*PRESETS, "path.py:function")))
    if not samples.pictures:
        if asked is not None:
            raise UsageError(
                f"--preprocess {asked} is for pictures; {samples.path} has arrays that are inputs already: leave it out"
            )
        return Preprocessing(AS_IT_IS, "the set has inputs, not pictures", shape, _as_it_is(spec))
    name, why = (asked, "") if asked is not None else _usual(spec, model_kind)
    return Preprocessing(name, why, shape, _by_preset(PRESETS[name], spec, samples.kind == "classes"))


def _usual(spec: TensorSpec, model_kind: str) -> tuple[str, str]:
    """The preset that suits a model, and why."""
    if spec.dtype in ("uint8", "int8"):
        return "0..255", f"the model's input is {spec.dtype}"
    place = _layout(spec)
    if place is None or place.channels == 1:
        return "0..1", "the model takes grey pictures" if place else "the model takes rows of pixels"
    if model_kind == "caffe":
        return "caffe", "the model is Caffe's"
    if model_kind in ("tensorflow", "keras", "tflite"):
        return "-1..1", "the model is TensorFlow's, whose networks are mostly trained with it"
    return "imagenet", "most networks for colour pictures are trained with it"


@dataclass(frozen=True, slots=True)
class _Layout:
    """Sizes of a picture in a model's input, and the axis of its channels without the batch; None where it has none."""

    channels: int
    height: int
    width: int
    axis: int | None


def _layout(spec: TensorSpec) -> _Layout | None:
    """The layout of a model's input; None for one without height and width."""
    sizes = spec.shape[1:]
    if len(sizes) == 3 and sizes[0] in (1, 3):
        return _Layout(sizes[0], sizes[1], sizes[2], 0)
    if len(sizes) == 3 and sizes[2] in (1, 3):
        return _Layout(sizes[2], sizes[0], sizes[1], 2)
    return _Layout(1, sizes[0], sizes[1], None) if len(sizes) == 2 else None


def picture_size(spec: TensorSpec) -> tuple[int, int]:
    """Width and height of the pictures that a model takes; (1, 1) where it takes none."""
    place = _layout(spec)
    return (place.width, place.height) if place else (1, 1)


def _by_preset(scale: Scale, spec: TensorSpec, crop: bool) -> Callable[[np.ndarray], np.ndarray]:
    place = _layout(spec)
    if place is None and len(spec.shape) != 2:
        raise ModelInputError(
            f"the model takes no pictures: its input {spec.name} has shape {spec.shape}, where a picture needs height, "
            "width, and 1 or 3 channels; give an .npz with its inputs, or --preprocess path.py:function"
        )

    def prepare(picture: np.ndarray) -> np.ndarray:
        if place is None:
            return _as_dtype(_scaled(picture.astype(np.float32), scale), spec).reshape(_flat(picture, spec))
        sized = resize(with_channels(picture, place.channels), (place.height, place.width), crop)
        values = _as_dtype(_scaled(sized.astype(np.float32), scale), spec)
        if place.axis is None:
            return values[..., 0]
        return np.ascontiguousarray(values.transpose(2, 0, 1)) if place.axis == 0 else values

    return prepare


def _flat(picture: np.ndarray, spec: TensorSpec) -> tuple[int]:
    if picture.size != spec.shape[1]:
        raise ModelInputError(
            f"the model's input {spec.name} has shape {spec.shape}, which a picture of "
            f"{'×'.join(map(str, picture.shape))} does not fill"
        )
    return (picture.size,)


def with_channels(picture: np.ndarray, channels: int) -> np.ndarray:
    """A picture (height × width × 1 or 3, uint8) with 1 or 3 channels: grey as ITU-R 601-2 weighs the colours."""
    if picture.shape[2] == channels:
        return picture
    if channels == 3:
        return np.repeat(picture, 3, axis=2)
    from PIL import Image

    return np.asarray(Image.fromarray(picture).convert("L"))[..., None]


def resize(picture: np.ndarray, size: tuple[int, int], crop: bool) -> np.ndarray:
    """A picture (height × width × channels, uint8) in another size, bilinear.

    Args:
        picture: the picture; one of that size stays as it is.
        size: height and width.
        crop: whether to keep the proportions and the middle, of the shorter side 7/8, if the picture is the larger one;
            else all of the picture is stretched to the size, so that places in it stay where they are.
    """
    height, width = size
    rows, columns = picture.shape[:2]
    if (rows, columns) == size:
        return picture
    if not crop or rows < height or columns < width:
        return _resampled(picture, (height, width))
    factor = max(height / rows, width / columns) / _CROP
    tall, wide = max(height, round(rows * factor)), max(width, round(columns * factor))
    top, left = (tall - height) // 2, (wide - width) // 2
    return _resampled(picture, (tall, wide))[top : top + height, left : left + width]


def _resampled(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    from PIL import Image

    plain = picture[..., 0] if picture.shape[2] == 1 else picture
    image = Image.fromarray(np.ascontiguousarray(plain)).resize(size[::-1], Image.Resampling.BILINEAR)
    return np.asarray(image).reshape(*size, picture.shape[2])


def _scaled(values: np.ndarray, scale: Scale) -> np.ndarray:
    """Scaled float32 values (height × width × channels); grey ones by the mean of the colours' numbers."""
    mean, deviation = np.array(scale.mean, np.float32), np.array(scale.deviation, np.float32)
    if values.shape[2] == 1:
        mean, deviation = mean.mean(keepdims=True), deviation.mean(keepdims=True)
    scaled: np.ndarray = (values - mean) / deviation
    return scaled[..., ::-1] if scale.reverse and values.shape[2] == 3 else scaled


def _as_dtype(values: np.ndarray, spec: TensorSpec) -> np.ndarray:
    if spec.dtype == "int8":
        return (values - 128).round().clip(-128, 127).astype(np.int8)
    if spec.dtype == "uint8":
        return values.round().clip(0, 255).astype(np.uint8)
    return values.astype(spec.dtype)


def _as_it_is(spec: TensorSpec) -> Callable[[np.ndarray], np.ndarray]:
    wanted = spec.shape[1:]

    def prepare(sample: np.ndarray) -> np.ndarray:
        if sample.shape != wanted and [size for size in sample.shape if size > 1] != [s for s in wanted if s > 1]:
            raise ModelInputError(
                f"samples have shape {sample.shape}, which does not fit the model's input {spec.name} {spec.shape}"
            )
        if not np.can_cast(sample.dtype, spec.dtype, "same_kind"):
            raise ModelInputError(f"samples are {sample.dtype}, the model's input {spec.name} is {spec.dtype}")
        return sample.reshape(wanted).astype(spec.dtype)

    return prepare


def _by_function(text: str, spec: TensorSpec) -> Callable[[np.ndarray], np.ndarray]:
    function, wanted = load_function(text, "--preprocess"), spec.shape[1:]

    def prepare(sample: np.ndarray) -> np.ndarray:
        made = np.asarray(function(sample))
        if made.shape not in (wanted, (1, *wanted)):
            raise ModelInputError(
                f"--preprocess {text} made an array of shape {made.shape}; the model's input {spec.name} needs {wanted}"
            )
        if made.dtype.kind not in "iufb":
            raise ModelInputError(f"--preprocess {text} made an array of {made.dtype}; numbers were expected")
        return made.reshape(wanted).astype(spec.dtype)

    return prepare
