"""The compared runtimes, one folder each; `registry` lists them."""
