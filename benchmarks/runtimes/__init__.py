"""The compared runtimes, one folder each; `registry` lists them, `profiles` has what their profilers share."""
