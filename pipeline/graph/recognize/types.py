"""The type of a recognition rule."""

from __future__ import annotations

from collections.abc import Callable

from tvmopt.pipeline.graph.ir import Editor, Node

Rule = Callable[[Editor, Node], bool]
"""Adds what replaces the node to the editor, or returns False and adds nothing."""
