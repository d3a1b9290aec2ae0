"""The runtimes that are compared, one folder each; `registry` lists them."""
