"""Scripts that the Python with TensorFlow runs; they import nothing of this project but each other."""
