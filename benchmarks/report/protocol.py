"""How latencies were measured, in words."""

from __future__ import annotations

from tvmopt.benchmarks.measurements.types import Comparison
from tvmopt.benchmarks.report import words


def view_method(comparison: Comparison) -> str:
    """One sentence on a method that readers must know to judge the numbers; empty for the usual one."""
    protocol = comparison.protocol
    if protocol.get("method") != "dli":
        return ""
    upto = "" if comparison.complete else "up to "
    return (
        "Measured by the method of DLI, the Deep Learning Inference benchmark: latency is the median of "
        f"{upto}{protocol['iterations']:,} sequential requests to each runtime, FPS the batch size over it."
    )


def view_protocol(comparison: Comparison) -> str:
    """A description of how latencies were measured."""
    protocol = comparison.protocol
    cores = ", ".join(str(core) for core in protocol.get("cores", ()))
    turns = _iterations(comparison) if protocol.get("method") == "dli" else _turns(comparison)
    search = _search(comparison) if "search" in protocol else ""
    return (
        f"Every runtime ran in its own process, pinned to the same cores ({cores}). After loading, each ran for "
        f"{protocol.get('warmup_s')} s to warm up. {turns} {search}Inputs and outputs stay in the runtime's own "
        "memory; nothing is copied in the timed call. FPS is the batch size over the median latency. A verdict of “no "
        "difference” means that the interval of the ratio of medians covers 1. Error is "
        f"{words.RELATIVE_ERROR[comparison.relative_error]}; memory is the highest resident size of the process, "
        "Python and library included."
    )


def _search(comparison: Comparison) -> str:
    search = comparison.protocol["search"]
    return (
        f"Before the rounds, the parameters of every runtime were searched for about {search['seconds']:g} s of turns "
        "each: one value after the other was measured in turn with the best until then, and taken if its outputs were "
        f"right and it saved more than {search['least_gain']:.0%} and more than the noise. What was found was started "
        "anew and measured with the defaults once more, which the gain stated is from; without a gain there, the "
        "defaults stayed. "
    )


def _turns(comparison: Comparison) -> str:
    protocol = comparison.protocol
    return (
        f"Then came {protocol.get('rounds')} rounds: in each, every runtime "
        f"had one turn of about {protocol.get('turn_s')} s, one after the other, while all others were suspended; the "
        f"first {protocol.get('untimed_calls')} calls of a turn were not timed. Latency is the median of all timed "
        "calls, with a 95 % interval from a bootstrap over rounds."
    )


def _iterations(comparison: Comparison) -> str:
    protocol = comparison.protocol
    return (
        f"Then each was sent {protocol['iterations']:,} timed requests, every one after the answer to the one before: "
        f"DLI's latency mode. DLI sends one runtime all its requests before the next; here they were spread over "
        f"{protocol.get('rounds')} rounds of equal shares, in which every runtime had its turn while all others were "
        f"suspended, so that a slow phase of the machine meets all alike; the first {protocol.get('untimed_calls')} "
        "calls of a turn were not timed. Latency is the median of all timed calls, with a 95 % interval from a "
        "bootstrap over rounds. No call was left out; DLI leaves out those further than three standard deviations "
        "from the mean, which hardly moves a median."
    )
