"""Labelled sets: pictures or arrays with what is right for each, read one at a time."""
