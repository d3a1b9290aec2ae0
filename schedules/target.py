"""Targets: the facts of a machine that templates and records depend on.

Importing this module does not import TVM; `Target.tvm` is the JSON that TVM is given.
"""

from __future__ import annotations

import json
import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any

from tvmopt.schedules.dtypes import dtype_of
from tvmopt.schedules.host import KIB, cache_bytes, cores, cpu_flags

TARGETS: dict[str, str] = {
    "llvm": "this machine's CPU, its features detected",
    "x86-64-v3": "any x86-64 CPU with AVX2 and FMA",
    "x86-64-v4": "any x86-64 CPU with AVX-512 (F, BW, CD, DQ, VL)",
    "aarch64": "64-bit Arm Linux, NEON (Cortex-A72 class, four cores)",
    "aarch64-dotprod": "64-bit Arm Linux, NEON with dot product (Cortex-A76 class, four cores)",
    "armv7": "32-bit Arm Linux, hard float, NEON (Cortex-A9 class, four cores)",
    "cuda": "NVIDIA GPU, sm_75 or newer",
    "cuda:sm_XX": "NVIDIA GPU of one architecture, such as cuda:sm_90",
}
"""Short names of targets and what each means; TVM's JSON is accepted as well."""

_X86_FEATURES = ("avx512vbmi", "avx512_vnni", "avx512_bf16", "avx512_fp16", "avx_vnni", "amx_int8")
_LLVM_NAMES = {
    "avx512vbmi": "avx512vbmi",
    "avx512_vnni": "avx512vnni",
    "avx512_bf16": "avx512bf16",
    "avx512_fp16": "avx512fp16",
}
_LLVM_NAMES |= {"avx_vnni": "avxvnni", "amx_int8": "amx-int8"}
_X86_V4 = {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}
_X86_V3 = {"avx2", "fma", "f16c", "bmi2"}

LLVM_OPTIONS = ("-vectorize-loops:bool=0", "-sink-insts-to-avoid-spills:bool=1")
"""Templates vectorise kernels; LLVM vectorises wrongly if an inner loop's index has a remainder by a power of two.

LLVM loads the constants of an epilogue once, before all loops. If they take the registers of a reduction, it puts them
back where they are used.
"""


@dataclass(frozen=True, slots=True)
class Isa:
    """A vector instruction set: width of a register in bits and how many registers there are."""

    name: str
    vector_bits: int
    registers: int


ISAS: dict[str, Isa] = {
    isa.name: isa
    for isa in (
        Isa("avx512", 512, 32),
        Isa("avx2", 256, 16),
        Isa("sse2", 128, 16),
        Isa("neon", 128, 32),
        Isa("neon32", 128, 16),
        Isa("cuda", 32, 255),
    )
}


@dataclass(frozen=True, slots=True)
class Target:
    """A machine to generate code for.

    Attributes:
        name: the short name that selected it, or ``custom``.
        tvm: TVM's target as JSON.
        isa: name of the vector instruction set, a key of `ISAS`.
        arch: processor architecture (``x86_64``, ``aarch64``, ``armv7l``, ``sm_90``).
        l1_bytes: data cache of one core, first level, in bytes.
        l2_bytes: cache of one core, second level, in bytes.
        threads: how many threads a kernel is divided among.
        features: further features of the instruction set, sorted.
        strict_nan: whether a NaN or infinity may touch only those results that the operator's definition says.
    """

    name: str
    tvm: Mapping[str, Any] = field(hash=False)  # repeats the other fields, and is not hashable
    isa: str
    arch: str
    l1_bytes: int
    l2_bytes: int
    threads: int
    features: tuple[str, ...] = ()
    strict_nan: bool = False

    @property
    def vector_bits(self) -> int:
        """Width of a vector register."""
        return ISAS[self.isa].vector_bits

    @property
    def registers(self) -> int:
        """Number of vector registers."""
        return ISAS[self.isa].registers

    def lanes(self, dtype: str) -> int:
        """How many elements of an element type fit into a vector register.

        Args:
            dtype: name of the element type, as numpy spells it.

        Returns:
            Elements, at least one.

        Raises:
            ValueError: when there is no such element type.
        """
        return max(1, self.vector_bits // (8 * dtype_of(dtype).nbytes))

    def channel_block(self, dtype: str) -> int:
        """How many channels of a feature map are stored together: a vector of their accumulator type.

        Args:
            dtype: name of the map's element type, as numpy spells it.

        Returns:
            Channels.

        Raises:
            ValueError: when there is no such element type.
        """
        return self.lanes(dtype_of(dtype).accumulator)

    @property
    def kind(self) -> str:
        """TVM's name for the kind of machine, ``llvm`` or ``cuda``, by which templates are listed."""
        return str(self.tvm["kind"])

    @property
    def is_gpu(self) -> bool:
        """Whether kernels run on a GPU."""
        return self.isa == "cuda"

    def runs_on(self, arch: str, isa: str) -> bool:
        """Whether a machine can run the target's code.

        Args:
            arch: the machine's architecture.
            isa: its vector instruction set, a key of `ISAS`.

        Returns:
            Whether it can; False for any GPU.
        """
        if self.is_gpu or self.arch != arch:
            return False
        order = ("sse2", "avx2", "avx512") if arch == "x86_64" else ("neon",)
        return self.isa in order and isa in order and order.index(self.isa) <= order.index(isa)

    @property
    def key(self) -> str:
        """What records are filed under: architecture, instruction set, threads (``x86_64-avx512-2t``)."""
        if self.is_gpu:
            return f"cuda-{self.arch}"
        return f"{self.arch}-{self.isa}-{self.threads}t"

    def to_json(self) -> dict[str, Any]:
        """A JSON object that `from_json` reads back."""
        facts = {fact.name: getattr(self, fact.name) for fact in fields(self)}
        if not self.strict_nan:
            del facts["strict_nan"]  # as before there was a choice: what was kept by this text is found again
        return {**facts, "tvm": dict(self.tvm), "features": list(self.features)}

    @staticmethod
    def from_json(facts: Mapping[str, Any]) -> Target:
        """The inverse of `to_json`.

        Args:
            facts: what `to_json` wrote.

        Returns:
            The same target.

        Raises:
            TypeError, KeyError: when `facts` is not what `to_json` writes.
        """
        return Target(**{**facts, "tvm": MappingProxyType(dict(facts["tvm"])), "features": tuple(facts["features"])})


def parse_target(text: str, threads: int | None = None) -> Target:
    """The target that `text` names.

    Args:
        text: a short name of `TARGETS` or TVM's target as a JSON object.
        threads: threads per kernel; the default is the target's cores.

    Returns:
        The target, with this machine's facts where `text` is ``llvm``.

    Raises:
        ValueError: with a one-line message, when `text` is neither, or `threads` is below one.
    """
    if threads is not None and threads < 1:
        raise ValueError(f"threads must be at least 1, got {threads}")
    if text.lstrip().startswith("{"):
        return _from_json(text, threads)
    if text == "llvm":
        return _host(threads)
    if text in ("x86-64-v3", "x86-64-v4"):
        isa = "avx2" if text.endswith("3") else "avx512"
        return _x86(text, isa, (), threads or cores())
    if text.startswith("cuda"):
        return _cuda(text)
    if text in _ARM:
        return _arm(text, threads)
    raise ValueError(f"unknown target {text!r}")


def host_isa() -> str:
    """The widest vector instruction set of this machine that templates know."""
    machine = platform.machine()
    if machine == "x86_64":
        flags = cpu_flags()
        if flags >= _X86_V4 | _X86_V3:
            return "avx512"
        return "avx2" if flags >= _X86_V3 else "sse2"
    return "neon" if machine == "aarch64" else "neon32"


def _host(threads: int | None) -> Target:
    threads = threads or cores()
    isa = host_isa()
    if platform.machine() == "x86_64":
        flags = cpu_flags()
        return _x86("llvm", isa, tuple(sorted(name for name in _X86_FEATURES if name in flags)), threads)
    tvm = _llvm(threads, mtriple=f"{platform.machine()}-linux-gnu")
    l1_bytes, l2_bytes = cache_bytes(32, 512)
    return Target("llvm", MappingProxyType(tvm), isa, platform.machine(), l1_bytes, l2_bytes, threads)


def _llvm(threads: int, **facts: Any) -> dict[str, Any]:
    """TVM's JSON of a CPU."""
    return {"kind": "llvm", "cl-opt": list(LLVM_OPTIONS), **facts, "num-cores": threads}


def _x86(name: str, isa: str, features: tuple[str, ...], threads: int) -> Target:
    cpu = {"avx512": "x86-64-v4", "avx2": "x86-64-v3", "sse2": "x86-64"}[isa]
    tvm = _llvm(threads, mtriple="x86_64-linux-gnu", mcpu=cpu)
    if isa != "sse2":
        # Prefetching for writing: every processor with AVX2 accepts it, at worst as a no-op.
        tvm["mattr"] = [*(f"+{_LLVM_NAMES[feature]}" for feature in features), "+prfchw"]
    l1_bytes, l2_bytes = cache_bytes(32, 1024) if name == "llvm" else (32 * KIB, 512 * KIB)
    return Target(name, MappingProxyType(tvm), isa, "x86_64", l1_bytes, l2_bytes, threads, features)


_ARM: dict[str, tuple[dict[str, Any], str, str, tuple[str, ...]]] = {
    "aarch64": ({"mtriple": "aarch64-linux-gnu", "mcpu": "cortex-a72"}, "neon", "aarch64", ()),
    "aarch64-dotprod": (
        {"mtriple": "aarch64-linux-gnu", "mcpu": "generic", "mattr": ["+v8.2a", "+dotprod", "+neon"]},
        "neon",
        "aarch64",
        ("dotprod",),
    ),
    # Without mfloat-abi the objects are soft-float and do not link against Debian's armhf.
    "armv7": (
        {"mtriple": "armv7l-linux-gnueabihf", "mcpu": "cortex-a9", "mfloat-abi": "hard", "mattr": ["+neon"]},
        "neon32",
        "armv7l",
        (),
    ),
}


def _arm(name: str, threads: int | None) -> Target:
    tvm, isa, arch, features = _ARM[name]
    threads = threads or 4
    tvm = _llvm(threads, **tvm)
    return Target(name, MappingProxyType(tvm), isa, arch, 32 * KIB, 512 * KIB, threads, features)


def _cuda(text: str) -> Target:
    match = re.fullmatch(r"cuda(?::(sm_\d{2,3}a?))?", text)
    if match is None:
        raise ValueError(f"unknown target {text!r}: write cuda or cuda:sm_XX, such as cuda:sm_90")
    arch = match[1] or "sm_75"
    facts = {"max_num_threads": 1024, "max_threads_per_block": 1024, "max_shared_memory_per_block": 49152}
    tvm = {"kind": "cuda", "arch": arch, "thread_warp_size": 32, **facts}
    return Target(text, MappingProxyType(tvm), "cuda", arch, 48 * KIB, 4096 * KIB, 1)


def _from_json(text: str, threads: int | None) -> Target:
    try:
        tvm = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"target is not valid JSON: {error}; got {text!r}") from None
    kind = tvm.get("kind")
    if kind == "cuda":
        return _cuda(f"cuda:{tvm.get('arch', 'sm_75')}")
    if kind != "llvm":
        raise ValueError(f"target kind must be 'llvm' or 'cuda', got {kind!r}")
    triple = str(tvm.get("mtriple", f"{platform.machine()}-linux-gnu"))
    isa, arch = _isa_of(triple, str(tvm.get("mcpu", "")), tuple(tvm.get("mattr", ())))
    threads = threads or int(tvm.get("num-cores", cores()))
    tvm = _llvm(threads, **tvm)
    features = tuple(sorted(str(x).lstrip("+") for x in tvm.get("mattr", ())))
    return Target("custom", MappingProxyType(tvm), isa, arch, 32 * KIB, 512 * KIB, threads, features)


def _isa_of(triple: str, cpu: str, attributes: tuple[str, ...]) -> tuple[str, str]:
    if triple.startswith("aarch64"):
        return "neon", "aarch64"
    if triple.startswith("arm"):
        return "neon32", "armv7l"
    if not triple.startswith("x86_64"):
        raise ValueError(f"target's mtriple must be of x86_64, aarch64 or arm, got {triple!r}")
    wide = re.search(r"x86-64-v4|skylake-avx512|icelake|sapphire|cascade|cooper|granite|znver[45]", cpu)
    if wide or {"+avx512f", "+avx512dq", "+avx512bw", "+avx512vl"} <= set(attributes):
        return "avx512", "x86_64"
    if re.search(r"x86-64-v3|haswell|broadwell|skylake|alderlake|znver|core-avx2", cpu) or "+avx2" in attributes:
        return "avx2", "x86_64"
    return "sse2", "x86_64"
