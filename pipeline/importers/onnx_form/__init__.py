"""What every importer delivers: static ONNX, normalised, with the layers' names."""
