"""LiteRT, the runtime of TFLite models."""
