"""Metrics against scikit-learn, SciPy and rules written out, with ties, NaN, and labels that do not fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.pipeline.data import labelled_files as labelled
from tvmopt.pipeline.data.labelled.sample_set import LabelledSet, Objects, UnreadableSampleError
from tvmopt.pipeline.data.metrics.detections import as_parts
from tvmopt.pipeline.data.metrics.intervals import mcnemar, paired_difference, wilson
from tvmopt.pipeline.data.metrics.metric import Signature, of_sample
from tvmopt.pipeline.data.metrics.registry import find_metric, open_for
from tvmopt.pipeline.errors import InputFileError, ModelInputError, UsageError
from tvmopt.pipeline.types import TensorSpec

RANDOM = np.random.default_rng(5)


def classes(*numbers: int, names: tuple[str, ...] = (), complete: bool = False) -> LabelledSet:
    places = [str(place) for place in range(len(numbers))]
    return LabelledSet(
        "test", Path("set"), "classes", places, np.zeros, numbers.__getitem__, numbers, names, complete=complete
    )


def gives(*shapes: tuple[int, ...], dtype: str = "float32") -> Signature:
    outputs = tuple(TensorSpec(f"y{place}", shape, dtype) for place, shape in enumerate(shapes))
    return Signature(TensorSpec("x", (shapes[0][0], 3, 8, 8), "float32"), outputs)


def test_top_1_and_top_5_as_scikit_learn_counts_them() -> None:
    from sklearn.metrics import top_k_accuracy_score

    labels, scores = RANDOM.integers(0, 9, 60), RANDOM.standard_normal((60, 9))
    judge = find_metric("top1").fit(classes(*map(int, labels)), gives((1, 9)))
    tables = [judge.judge([scores[place]], place) for place in range(60)]
    values = judge.score(tables, range(60))
    assert judge.value(tables, range(60)) == values["top-1"].value
    assert list(values) == ["top-1", "top-5"]
    for k, name in ((1, "top-1"), (5, "top-5")):
        assert values[name].value == top_k_accuracy_score(labels, scores, k=k, labels=range(9))
        low, high = values[name].interval
        assert low < values[name].value < high
    first = find_metric("top5").fit(classes(*map(int, labels)), gives((1, 9))).score(tables, range(60))
    assert first == {"top-5": values["top-5"], "top-1": values["top-1"]}


@pytest.mark.parametrize(
    ("scores", "label", "rank"),
    [
        ([1, 3, 2], 1, 0),
        ([1, 3, 2], 0, 2),
        ([3, 3, 3], 0, 0),
        ([3, 3, 3], 2, 2),
        ([np.nan, 3, 2], 1, 3),
        ([np.inf, 3, 2], 1, 1),
        ([-np.inf, -1, -2], 0, 2),
        ([0, -0.0, -1], 1, 1),
    ],
)
def test_ranks(scores: list[float], label: int, rank: int) -> None:
    judge = find_metric("top1").fit(classes(label, 2 - label), gives((1, 3, 1, 1)))
    assert judge.judge([np.array(scores).reshape(3, 1, 1)], 0).tolist() == [[rank]]


def test_a_model_that_gives_the_class_itself() -> None:
    judge = find_metric("top1").fit(classes(4, 2), gives((2,), dtype="int64"))
    tables = [judge.judge(of_sample([np.array([4, 3])], place, 2), place) for place in range(2)]
    assert judge.score(tables, range(2))["top-1"].value == 0.5


def test_a_background_class_is_seen_and_said() -> None:
    judge = find_metric("top1").fit(classes(0, 999), gives((1, 1001)))
    assert judge.judge([np.eye(1001)[1000]], 1).item() == 0
    assert "the first of them the background" in judge.notes[0]
    for samples in (classes(0, 1000), classes(0, 9)):
        size = 1001 if 1000 in samples.numbers else 10
        judge = find_metric("top1").fit(samples, gives((1, size)))
        assert judge.judge([np.eye(size)[samples.numbers[1]]], 1).item() == 0
        assert judge.notes == ()
    named = find_metric("top1").fit(classes(0, 2, names=("a", "b", "c"), complete=True), gives((1, 4)))
    assert named.judge([np.eye(4)[3]], 1).item() == 0
    imagenet = tuple(f"n{number:08}" for number in range(1000))
    assert find_metric("top1").fit(classes(0, 2, names=imagenet), gives((1, 1001))).notes


def test_a_part_of_a_set_is_numbered_as_the_whole() -> None:
    part = classes(1, 500, 1000).part([0, 1])
    judge = find_metric("top1").fit(part, gives((1, 1001)))
    assert judge.notes == ()
    assert judge.judge([np.eye(1001)[500]], 1).item() == 0
    again = part.part([0])
    assert again.largest == 1000
    assert find_metric("top1").fit(classes(0, 999).part([0]), gives((1, 1001))).notes


@pytest.mark.parametrize(
    ("samples", "model", "message"),
    [
        (classes(0, 10), gives((1, 10)), "labels do not fit the model: they go up to 10, but its output y0 has 10"),
        (
            classes(0, 1, names=("a", "b")),
            gives((1, 10)),
            "has folders for 2 classes, but the model's output y0 has 10",
        ),
        (
            classes(0, 2, names=("a", "b", "c")),
            gives((1, 4)),
            "has folders for 3 classes, but the model's output y0 has 4",
        ),
        (classes(0, 1), gives((1, 3, 8, 8)), "no output has a value for each class"),
        (classes(0, 1), gives((2, 1)), "no output has a value for each class"),
    ],
)
def test_labels_that_do_not_fit(samples: LabelledSet, model: Signature, message: str) -> None:
    with pytest.raises(ModelInputError) as caught:
        find_metric("top1").fit(samples, model)
    assert message in str(caught.value)


def test_of_several_outputs_the_one_with_classes_is_read() -> None:
    judge = find_metric("top1").fit(classes(1, 0), gives((1, 8, 4, 4), (1, 7)))
    assert judge.judge([np.zeros((8, 4, 4)), np.eye(7)[1]], 0).item() == 0
    assert judge.notes == ("classes are read from the output y1",)
    with pytest.raises(ModelInputError, match="top5 says nothing about a model of 4 classes"):
        find_metric("top5").fit(classes(1, 0), gives((1, 4)))


def test_intervals_as_scipy_has_them() -> None:
    from scipy.stats import binomtest

    for right, count in ((0, 7), (7, 7), (3, 20), (721, 1000)):
        found = binomtest(right, count).proportion_ci(method="wilson")
        assert wilson(right, count) == pytest.approx((found.low, found.high), abs=1e-12)
    for gained, lost in ((0, 0), (3, 0), (10, 4), (600, 700)):
        expected = binomtest(gained, gained + lost).pvalue if gained + lost else 1.0
        assert mcnemar(gained, lost) == pytest.approx(expected, rel=1e-9)


def test_paired_differences_cover_the_truth() -> None:
    """True rates of 6 % gained and 3 % lost, among 200 samples: 95 of 100 intervals cover their difference."""
    drawn = np.random.default_rng(0).multinomial(200, [0.06, 0.03, 0.91], 2000)
    covered = 0
    for gained, lost, _ in drawn:
        value, (low, high) = paired_difference(int(gained), int(lost), 200)
        assert value == (gained - lost) / 200
        covered += low <= 0.03 <= high
    assert 0.94 < covered / 2000 < 0.97


def test_difference_of_two_models() -> None:
    judge = find_metric("top1").fit(classes(*[0, 1] * 20), gives((1, 2)))
    ours, theirs = [np.array([[int(place < 30)]]) for place in range(40)], [np.array([[0]])] * 40
    difference = judge.difference(ours, theirs, range(40))
    assert difference.value == -0.75
    assert difference.chance == pytest.approx(2**-29)
    assert difference.significant
    assert not judge.difference(theirs, theirs, range(40)).significant


def masks(*values: np.ndarray) -> LabelledSet:
    return LabelledSet("test", Path("set"), "masks", [str(i) for i in range(len(values))], np.zeros, values.__getitem__)


def test_mean_iou_as_scikit_learn_counts_it() -> None:
    from sklearn.metrics import jaccard_score

    truth = [RANDOM.integers(0, 4, (6, 7)) for _ in range(5)]
    truth[0][:2] = -1
    scores = [RANDOM.standard_normal((4, 6, 7)) for _ in truth]
    judge = find_metric("miou").fit(masks(*truth), gives((1, 4, 6, 7)))
    tables = [judge.judge([values], place) for place, values in enumerate(scores)]
    found = judge.score(tables, range(5))["mean IoU"]
    assert judge.value(tables, range(5)) == found.value
    flat, guessed = np.concatenate([t.ravel() for t in truth]), np.concatenate([s.argmax(0).ravel() for s in scores])
    assert found.value == pytest.approx(jaccard_score(flat[flat >= 0], guessed[flat >= 0], average="macro"))
    assert found.interval[0] < found.value < found.interval[1]
    last = find_metric("miou").fit(masks(*truth), gives((1, 6, 7, 4)))
    assert np.array_equal(last.judge([scores[1].transpose(1, 2, 0)], 1), tables[1])
    numbers = find_metric("miou").fit(masks(*truth), gives((1, 6, 7), dtype="int64"))
    assert np.array_equal(numbers.judge([scores[1].argmax(0)], 1), tables[1])
    assert judge.difference(tables, tables, range(5)).value == 0


def test_masks_larger_than_the_output() -> None:
    small = np.array([[0, 1], [2, 0]])
    judge = find_metric("miou").fit(
        masks(np.kron(small, np.ones((3, 2), int)), -np.ones((2, 2), int)), gives((1, 2, 2))
    )
    assert judge.judge([small], 0).tolist() == [[0, 12, 12], [1, 6, 6], [2, 6, 6]]
    with pytest.raises(UnreadableSampleError, match="no pixel of its mask has a class"):
        judge.judge([small], 1)
    with pytest.raises(ModelInputError, match="miou needs an output with a value for each class and pixel"):
        find_metric("miou").fit(masks(small), gives((1, 10)))


def test_a_users_metric(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "import numpy as np\n"
        "def right(outputs, labels): return np.float32((outputs.argmax(1) == labels).mean())\n"
        "def both(outputs, labels): return float(outputs[0].sum() - outputs[1].sum())\n"
        "def bad(outputs, labels):\n    raise KeyError('x')\n"
        "def none(outputs, labels): return None\n"
        "def nan(outputs, labels): return np.nan\n"
        "def many(outputs, labels): return np.ones(3)\n"
    )
    scores = RANDOM.standard_normal((30, 4)).astype(np.float32)
    labels = [int(number) for number in RANDOM.integers(0, 4, 30)]

    def score(name: str, *shapes: tuple[int, ...]) -> float:
        judge = find_metric(f"{file}:{name}").fit(classes(*labels), gives(*shapes))
        tables = [judge.judge([scores[place]] * len(shapes), place) for place in range(30)]
        found = judge.score(tables, range(30))[name]
        assert judge.value(tables, range(30)) == found.value
        assert found.interval[0] <= found.value <= found.interval[1]
        return found.value

    assert score("right", (1, 4)) == pytest.approx((scores.argmax(1) == labels).mean())
    assert score("both", (1, 4), (1, 2, 2)) == pytest.approx(0)
    for name, message in {
        "bad": r"bad\(\) raised KeyError at mine\.py:5",
        "none": "returned NoneType None, where a number was expected",
        "nan": "returned nan, where a finite number was expected",
        "many": "returned ndarray",
    }.items():
        with pytest.raises(InputFileError, match=message):
            score(name, (1, 4))


def test_names_of_metrics(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"unknown metric 'top_1'; did you mean top1"):
        find_metric("top_1")
    with pytest.raises(InputFileError, match="there is no file"):
        find_metric(f"{tmp_path}/mine.py:score")
    labelled.save_folders(tmp_path)
    assert open_for(tmp_path, None)[1].name == "top1"
    with pytest.raises(UsageError, match=r"map needs boxes; .* has a class for each sample: take top1, top5"):
        open_for(tmp_path, "map")


def test_outputs_of_a_batch() -> None:
    made = of_sample([np.arange(6).reshape(2, 3), np.arange(2)], 1, 2)
    assert [np.ravel(part).tolist() for part in made] == [[3, 4, 5], [1]]
    assert of_sample([np.zeros((5, 4))], 0, 1)[0].shape == (5, 4)
    with pytest.raises(ModelInputError, match="use batch 1"):
        of_sample([np.zeros((5, 4))], 0, 2)


def objects(*entries: tuple[int, tuple[float, float, float, float], bool]) -> Objects:
    return Objects(
        np.array([number for number, _, _ in entries], np.int64),
        np.array([box for _, box, _ in entries], float).reshape(-1, 4),
        np.array([hard for _, _, hard in entries], bool),
    )


def boxed(*labels: Objects) -> LabelledSet:
    names = [str(place) for place in range(len(labels))]
    return LabelledSet("test", Path("set"), "boxes", names, np.zeros, labels.__getitem__, (), ("cat", "dog"), True)


CAT, DOG = (0.0, 0.0, 0.5, 0.5), (0.5, 0.5, 1.0, 1.0)


def test_average_precision_by_hand() -> None:
    """Cats, the surest first: right, wrong (a second time), right of 3 objects; dogs: one of one."""
    samples = boxed(
        objects((0, CAT, False), (0, DOG, False), (1, DOG, False)), objects((0, CAT, False), (0, DOG, True))
    )
    rows = [
        np.array([[0, 1, 0.9, *CAT], [0, 1, 0.8, *CAT], [0, 2, 0.3, *DOG], [-1, 0, 0, 0, 0, 0, 0]]),
        np.array([[0, 1, 0.7, *CAT], [0, 1, 0.95, *DOG], [0, 9, 0.9, *CAT]]),  # the difficult one counts neither way
    ]
    judge = find_metric("map").fit(samples, gives((1, 1, 4, 7)))
    tables = [judge.judge([row[None]], place) for place, row in enumerate(rows)]
    assert judge.score(tables, range(2))["mAP at 0.5"].value == pytest.approx((1 / 3 + 2 / 3 * 1 / 3 + 1) / 2)
    assert judge.value(tables, range(2)) == judge.score(tables, range(2))["mAP at 0.5"].value
    assert judge.difference(tables, tables, range(2)).value == 0


def test_the_three_forms_of_detections_say_the_same() -> None:
    samples = boxed(objects((0, CAT, False)), objects((1, DOG, False)))
    pixels = np.array([CAT, DOG]) * 8
    seven = np.array([[0, 1, 0.9, *CAT], [0, 2, 0.8, *DOG]])

    def fit(*named: tuple[str, tuple[int, ...]]) -> Signature:
        outputs = tuple(TensorSpec(name, shape, "float32") for name, shape in named)
        return Signature(TensorSpec("x", (1, 3, 8, 8), "float32"), outputs)

    forms = {
        fit(("out", (1, 1, 2, 7))): [seven[None]],
        fit(("boxes", (2, 4)), ("labels", (2,)), ("scores", (2,))): [pixels, np.array([1, 2]), np.array([0.9, 0.8])],
        fit(("detection_scores:0", (1, 2)), ("detection_boxes:0", (1, 2, 4)), ("detection_classes:0", (1, 2))): [
            np.array([0.9, 0.8]),
            np.array([CAT, DOG])[:, [1, 0, 3, 2]],
            np.array([1.0, 2.0]),
        ],
    }
    tables = [find_metric("map").fit(samples, model).judge(outputs, 0).tolist() for model, outputs in forms.items()]
    assert tables[0] == tables[1] == tables[2] == [[0, 0.9, 1], [0, np.inf, 1], [1, 0.8, 0]]
    with pytest.raises(ModelInputError, match="map reads outputs named boxes, labels and scores"):
        find_metric("map").fit(samples, fit(("a", (1, 10))))


def test_a_single_wild_box_does_not_make_pixels_of_parts() -> None:
    parts = np.array([[0.1, 0.2, 0.5, 0.6], [0.0, 0.0, 1.1, 0.9], [0.2, 0.2, 7.0, 0.4], [900.0, 900.0, 950.0, 950.0]])
    scores = np.array([0.9, 0.8, 0.3, 0.0])
    assert np.array_equal(as_parts(parts, (300, 200), scores), parts)
    pixels = np.array([[30.0, 20.0, 150.0, 100.0], [0.0, 0.0, 1.0, 1.0], [3.0, 2.0, 300.0, 200.0]])
    assert np.allclose(as_parts(pixels, (300, 200), np.ones(3))[2], [0.01, 0.01, 1, 1])
    assert np.array_equal(as_parts(pixels, (300, 200), np.zeros(3)), pixels)  # none of them is found
