"""The kernels' results as Markdown: each class's median and worst share, the misses, and the scaling."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from tvmopt.benchmarks.suite.near_peak.classes import CLASSES, Kernel, Scaling

_HEAD = ("class", "threads", "kernels", "median", "worst", "of", "limit", "below it")
_KERNEL_HEAD = (
    *("network", "threads", "layer", "shape", "algorithm", "calls", "µs a call", "share", "bound by", "limit"),
    "to gain",
)


def render(kernels: Sequence[Kernel], scalings: Sequence[Scaling], each: bool = False) -> str:
    """All tables; with `each`, all kernels in place of those below their limit."""
    rest = render_kernels(kernels) if each and kernels else render_misses(kernels)
    parts = [render_classes(kernels), render_scaling(scalings), rest]
    return "\n".join(part for part in parts if part)


def render_classes(kernels: Sequence[Kernel]) -> str:
    """One row for each class and thread count that has kernels."""
    rows = []
    for kind in CLASSES:
        for threads in sorted({kernel.threads for kernel in kernels}):
            members = [kernel for kernel in kernels if (kernel.kind, kernel.threads) == (kind.name, threads)]
            if not members:
                continue
            worst = min(members, key=lambda kernel: kernel.share)
            median = statistics.median(kernel.share for kernel in members)
            where = f"{worst.network}: {worst.layer} ({worst.shape})"
            missing = "–" if kind.limit is None else str(sum(kernel.misses for kernel in members))
            name = f"{kind.name}, of the {'roofline' if kind.of_roofline else 'peak'}"
            numbers = (_share(median), _share(worst.share), where, _share(kind.limit), missing)
            rows.append((name, str(threads), str(len(members)), *numbers))
    return _table(_HEAD, rows) if rows else "No kernel of any class.\n"


def render_scaling(scalings: Sequence[Scaling]) -> str:
    """The gain of two threads over one, for networks with both measured."""
    rows = [
        (s.network, f"{s.whole_s[1] * 1e3:.3f}", f"{s.whole_s[2] * 1e3:.3f}", f"{s.speedup:.2f}", _share(s.limit))
        for s in scalings
        if s.speedup is not None
    ]
    return _table(("network", "1 thread, ms", "2 threads, ms", "speed-up", "limit"), rows) if rows else ""


def render_misses(kernels: Sequence[Kernel]) -> str:
    """The kernels below their limit, sorted by the time that reaching it would save."""
    missing = sorted((kernel for kernel in kernels if kernel.misses), key=lambda kernel: -kernel.lost_s)
    return render_kernels(missing) if missing else "Every kernel reaches its limit.\n"


def render_kernels(kernels: Sequence[Kernel]) -> str:
    """One row for each kernel."""
    rows = [
        (
            *(k.network, str(k.threads), k.layer, k.shape, k.algorithm, str(k.calls)),
            *(f"{k.seconds * 1e6:.1f}", _share(k.share), "memory" if k.memory_bound else "peak"),
            *(_share(k.limit), f"{k.lost_s * 1e6:.1f} µs"),
        )
        for k in kernels
    ]
    return _table(_KERNEL_HEAD, rows)


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |\n" for line in lines)
