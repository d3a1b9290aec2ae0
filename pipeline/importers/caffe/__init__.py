"""Caffe networks, read from their files without Caffe."""
