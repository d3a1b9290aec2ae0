"""What is known while importing: constants, values that follow from them, and tensors without elements."""
