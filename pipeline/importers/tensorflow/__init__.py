"""TensorFlow, Keras and TFLite, through tf2onnx."""
