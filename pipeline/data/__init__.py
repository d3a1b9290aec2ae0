"""What a user gives beside a model: pictures to calibrate and to measure on, labelled sets, functions in Python."""
