"""Random graphs of matrices, reductions, layouts, casts and gathers."""

from __future__ import annotations

import numpy as np

from tests.fuzz.drawing import Drawing

SIZES = (1, 2, 3, 4, 5, 7, 8, 11, 16, 17, 31)
FUNCTIONS = ("Relu", "Sigmoid", "Tanh", "Erf", "Gelu", "Softplus", "Abs", "Neg", "Sqrt", "Exp", "Sin", "Cos")
FUNCTIONS += ("Reciprocal", "Atan", "Softsign", "HardSwish", "Selu", "Log", "Identity")
STEPS = ("Floor", "Ceil", "Round", "Sign", "Not", "IsNaN")
REDUCTIONS = ("Sum", "Mean", "Max", "Min", "L1", "L2", "LogSumExp", "SumSquare", "Prod")


def matrices(d: Drawing) -> None:
    """Adds inputs at first, then one operator; sometimes it turns out not to be valid, and nothing is added."""
    if not d.inputs:
        for _ in range(d.random.choice((1, 1, 2, 3))):
            shape = [d.random.choice(SIZES) for _ in range(d.random.choice((1, 2, 2, 3, 3, 4)))]
            kind = d.random.choice(("float", "float", "float", "integer", "boolean"))
            array = d.numbers(*shape)
            if kind == "integer" and d.inputs:
                array = d.integers(0, 8, *shape).astype(d.random.choice((np.int64, np.int32)))
            d.input(array > 0 if kind == "boolean" and d.inputs else array)
        return
    steps = (_matmul, _matmul, _product, _gemm, _softmax, _layer_norm, _attention, _transpose, _reshape, _reduce)
    steps += (_reduce, _where, _cast, _gather, _gather_computed, _gather_elements, _expand, _tile, _power, _function)
    steps += (_function, _binary, _binary, _concat, _slice, _split, _step, _argument, _cumulate, _flatten, _squeeze)
    d.random.choice(steps)(d)


def _floats(d: Drawing, least: int = 1, exact: bool = False) -> tuple[str, np.ndarray]:
    """A value of floats with at least `least` dimensions, or the first input."""
    name = d.pick(lambda value: value.dtype == np.float32 and value.ndim >= least, exact) or d.inputs[0]
    return name, d.values[name]


def _matmul(d: Drawing) -> None:
    name, value = _floats(d)
    inner, out = value.shape[-1] if value.ndim else 1, d.random.choice(SIZES)
    made = d.add("MatMul", name, d.numbers(inner, out, scale=inner**-0.5))
    if made and d.random.random() < 0.5:
        d.add("Add", *d.random.sample([made[0], d.numbers(out)], 2))


def _product(d: Drawing) -> None:
    """Of two values that are computed."""
    name, value = _floats(d, 2)
    other = d.pick(lambda a: a.dtype == np.float32 and a.ndim >= 1 and a.shape[max(-2, -a.ndim)] == value.shape[-1])
    if other is not None:
        d.add("MatMul", name, other)
        return
    turned = d.add("Transpose", name, perm=[*range(value.ndim - 2), value.ndim - 1, value.ndim - 2])
    if turned:
        d.add("MatMul", name, turned[0])


def _gemm(d: Drawing) -> None:
    name = d.pick(lambda value: value.dtype == np.float32 and value.ndim == 2)
    if name is None:
        return
    turn_a, turn_b, out = d.random.choice((0, 1)), d.random.choice((0, 1)), d.random.choice(SIZES)
    inner = d.values[name].shape[0 if turn_a else 1]
    weights = d.numbers(*((out, inner) if turn_b else (inner, out)), scale=inner**-0.5)
    bias = [d.numbers(*d.random.choice(((out,), (1, out), (1,), ())))] if d.random.random() < 0.7 else []
    d.add("Gemm", name, weights, *bias, transA=turn_a, transB=turn_b, alpha=d.random.choice((1.0, 0.5)))


def _softmax(d: Drawing) -> None:
    name, value = _floats(d)
    d.add(d.random.choice(("Softmax", "Softmax", "LogSoftmax")), name, axis=d.random.randrange(-value.ndim, value.ndim))


def _layer_norm(d: Drawing) -> None:
    name, value = _floats(d)
    axis = d.random.choice((-1, -1, -min(2, value.ndim)))
    shape = value.shape[axis:]
    shift = [d.numbers(*shape)] if d.random.random() < 0.7 else []
    d.add("LayerNormalization", name, d.numbers(*shape), *shift, axis=axis)


def _attention(d: Drawing) -> None:
    """Heads of a sequence attend to it, with a mask or without."""
    name = d.pick(lambda value: value.dtype == np.float32 and value.ndim == 3 and value.shape[1] < 20)
    if name is None:
        return
    batch, length, width = d.values[name].shape
    heads, size = d.random.choice((1, 2, 3)), d.random.choice((3, 4, 8))
    parts = []
    for perm in ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3]):
        (made,) = d.add("MatMul", name, d.numbers(width, heads * size, scale=width**-0.5)) or [""]
        (made,) = (made and d.add("Reshape", made, np.array([batch, length, heads, size]))) or [""]
        (made,) = (made and d.add("Transpose", made, perm=perm)) or [""]
        if not made:
            return
        parts.append(made)
    (scores,) = d.add("MatMul", parts[0], parts[1]) or [""]
    (scores,) = (scores and d.add("Mul", scores, np.asarray(np.float32(size**-0.5)))) or [""]
    if scores and d.random.random() < 0.4:
        mask = np.triu(np.full((length, length), -1e2, np.float32), 1)
        (scores,) = d.add("Add", scores, mask) or [scores]
    (weights,) = (scores and d.add("Softmax", scores, axis=-1)) or [""]
    (mixed,) = (weights and d.add("MatMul", weights, parts[2])) or [""]
    (turned,) = (mixed and d.add("Transpose", mixed, perm=[0, 2, 1, 3])) or [""]
    if turned:
        d.add("Reshape", turned, np.array([0, 0, heads * size]))


def _transpose(d: Drawing) -> None:
    name = d.pick(lambda value: value.ndim > 1)
    if name is not None:
        d.add("Transpose", name, perm=d.random.sample(range(d.values[name].ndim), d.values[name].ndim))


def _reshape(d: Drawing) -> None:
    name = d.pick(lambda value: value.size > 1)
    if name is None:
        return
    left, sizes = d.values[name].size, []
    for factor in d.random.sample((2, 3, 4, 5, 7, 8), 2):
        if left % factor == 0:
            sizes.append(factor)
            left //= factor
    sizes.append(left)
    d.random.shuffle(sizes)
    if d.random.random() < 0.3:
        sizes[d.random.randrange(len(sizes))] = -1
    d.add("Reshape", name, np.array(sizes))


def _reduce(d: Drawing) -> None:
    name, value = _floats(d)
    axes = sorted(d.random.sample(range(value.ndim), d.random.randint(1, value.ndim)))
    kept = d.random.choice((0, 1))
    d.add(f"Reduce{d.random.choice(REDUCTIONS)}", name, np.array(axes), keepdims=kept)


def _where(d: Drawing) -> None:
    name, value = _floats(d, exact=True)
    other = d.pick(lambda a: a.shape == value.shape and a.dtype == value.dtype, exact=True)
    right = other if d.random.random() < 0.5 else np.asarray(np.float32(d.random.choice((0.0, 0.5))))
    made = d.add(d.random.choice(("Greater", "Less", "LessOrEqual", "GreaterOrEqual", "Equal")), name, right)
    if made:
        one = d.pick(lambda a: a.dtype == np.float32 and a.shape == value.shape)
        two = d.random.choice((np.asarray(np.float32(-1.0)), name))
        d.add("Where", made[0], *d.random.sample([one, two], 2))


def _cast(d: Drawing) -> None:
    name = d.pick(lambda value: True, exact=True)
    dtype = d.values[name].dtype if name else np.float32
    if name is None or (dtype == np.float32 and np.abs(d.values[name]).max() > 100):
        return
    d.add("Cast", name, to=d.random.choice((1, 1, 6, 7, 9) if dtype != np.float32 else (6, 7, 9)))


def _gather(d: Drawing) -> None:
    name = d.pick(lambda value: value.ndim > 0)
    if name is None:
        return
    axis = d.random.randrange(d.values[name].ndim)
    size = d.values[name].shape[axis]
    shape = d.random.choice(((), (1,), (3,), (2, 5)))
    d.add("Gather", name, d.integers(-size, size, *shape), axis=axis)


def _gather_computed(d: Drawing) -> None:
    """At places that the graph computes, kept within the table by a remainder."""
    index = d.pick(lambda value: value.dtype == np.int64)
    name = d.pick(lambda value: value.ndim > 0)
    if index is None or name is None:
        return
    axis = d.random.randrange(d.values[name].ndim)
    made = d.add("Mod", index, np.asarray(d.values[name].shape[axis]))
    if made:
        d.add("Gather", name, made[0], axis=axis)


def _gather_elements(d: Drawing) -> None:
    name = d.pick(lambda value: value.ndim > 0)
    if name is not None:
        axis = d.random.randrange(d.values[name].ndim)
        size = d.values[name].shape[axis]
        d.add("GatherElements", name, d.integers(0, size, *d.values[name].shape), axis=axis)


def _expand(d: Drawing) -> None:
    name = d.pick(lambda value: value.ndim < 4)
    if name is not None:
        shape = [size if size > 1 else d.random.choice((1, 3)) for size in d.values[name].shape]
        d.add("Expand", name, np.array([*d.random.choice(([], [2])), *shape] or [2]))


def _tile(d: Drawing) -> None:
    name = d.pick(lambda value: 0 < value.ndim < 4)
    if name is not None:
        d.add("Tile", name, np.array([d.random.choice((1, 2, 3)) for _ in d.values[name].shape]))


def _power(d: Drawing) -> None:
    name, _ = _floats(d)
    d.add("Pow", name, np.asarray(np.float32(d.random.choice((2.0, 3.0, -1.0, 0.5, 4.0, 1.0)))))


def _function(d: Drawing) -> None:
    d.add(d.random.choice(FUNCTIONS), _floats(d)[0])


def _step(d: Drawing) -> None:
    name = d.pick(lambda value: value.dtype == np.float32, exact=True)
    operator = d.random.choice(STEPS)
    if operator == "Not":
        name = d.pick(lambda value: value.dtype == np.bool_)
    if name is not None:
        d.add(operator, name)


def _binary(d: Drawing) -> None:
    name = d.pick(lambda value: value.dtype != np.bool_)
    if name is None:
        return
    value = d.values[name]
    other = d.pick(lambda a: a.dtype == value.dtype and np.ndim(a) <= 4)
    if d.random.random() < 0.3:
        constant = d.numbers(*value.shape[-1:]) if value.dtype == np.float32 else d.integers(1, 4, *value.shape[-1:])
        other = constant.astype(value.dtype)
    operator = d.random.choice(("Add", "Sub", "Mul", "Max", "Min", "Div"))
    if operator == "Div" and value.dtype != np.float32 and not isinstance(other, np.ndarray):
        return
    d.add(operator, name, other)


def _concat(d: Drawing) -> None:
    name = d.pick(lambda value: value.ndim > 0)
    if name is None:
        return
    value = d.values[name]
    axis = d.random.randrange(value.ndim)
    rest = value.shape[:axis] + value.shape[axis + 1 :]
    other = d.pick(
        lambda a: a.dtype == value.dtype and a.ndim == value.ndim and a.shape[:axis] + a.shape[axis + 1 :] == rest
    )
    d.add("Concat", name, other, *d.random.choice(([], [name])), axis=axis)


def _slice(d: Drawing) -> None:
    name = d.pick(lambda value: value.ndim > 0)
    if name is None:
        return
    axis = d.random.randrange(d.values[name].ndim)
    start, end, step = d.random.choice(((0, -1, 1), (1, 1 << 40, 1), (0, 1 << 40, 2), (-1, -(1 << 40), -1), (1, 3, 1)))
    d.add("Slice", name, np.array([start]), np.array([end]), np.array([axis]), np.array([step]))


def _split(d: Drawing) -> None:
    name = d.pick(lambda value: value.ndim > 0 and value.shape[-1] > 1)
    if name is not None:
        last = d.values[name].shape[-1]
        first = d.random.randint(1, last - 1)
        d.add("Split", name, np.array([first, last - first]), made=2, axis=-1)


def _argument(d: Drawing) -> None:
    name = d.pick(lambda value: value.dtype == np.float32 and value.ndim > 0, exact=True)
    if name is not None:
        axis = d.random.randrange(d.values[name].ndim)
        d.add(d.random.choice(("ArgMax", "ArgMin")), name, axis=axis, keepdims=d.random.choice((0, 1)))


def _cumulate(d: Drawing) -> None:
    name, value = _floats(d)
    axis = np.asarray(d.random.randrange(value.ndim)) if value.ndim else np.asarray(0)
    d.add("CumSum", name, axis, reverse=d.random.choice((0, 1)), exclusive=d.random.choice((0, 1)))


def _flatten(d: Drawing) -> None:
    name = d.pick(lambda value: value.ndim > 1)
    if name is not None:
        d.add("Flatten", name, axis=d.random.randint(0, d.values[name].ndim))


def _squeeze(d: Drawing) -> None:
    name = d.pick(lambda value: 1 in value.shape)
    if name is not None and d.random.random() < 0.5:
        d.add("Squeeze", name, np.array([d.values[name].shape.index(1)]))
        return
    name = d.pick(lambda value: value.ndim < 4)
    if name is not None:
        d.add("Unsqueeze", name, np.array([d.random.randint(0, d.values[name].ndim)]))
