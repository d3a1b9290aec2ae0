"""The form that every importer delivers: normalised ONNX with static shapes and layer names."""
