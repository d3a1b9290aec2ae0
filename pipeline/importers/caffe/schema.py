"""The messages of Caffe's files, from the compiled `caffe.proto`."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory  # type: ignore[import-untyped]

_PACKAGE = "tvmopt.caffe"


@functools.cache
def message_type(name: str) -> Any:
    """The class of a message of `caffe.proto`."""
    return message_factory.GetMessageClass(_pool().FindMessageTypeByName(f"{_PACKAGE}.{name}"))


@functools.cache
def _pool() -> Any:
    """The types, in a pool of their own: other packages may bring a `caffe.proto`, too."""
    content = Path(__file__).with_name("caffe.binpb").read_bytes()
    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(content).file:
        pool.Add(file)
    return pool
