"""Turns a model of any framework into one verified ONNX model."""

from tvmopt.pipeline.importers.load import example_inputs, load_model, survey_model
from tvmopt.pipeline.importers.source import parse_source

__all__ = ["example_inputs", "load_model", "parse_source", "survey_model"]
