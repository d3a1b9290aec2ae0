"""TensorFlow, in an environment of its own, on the files of TensorFlow and Keras models."""
