"""MXNet, in an environment of its own, on the files of MXNet networks."""
