"""Jobs: what each command does, as a function that a script, a notebook or a page can call too.

Each takes an options dataclass and a listener (`pipeline.support.progress`), and returns a value; none prints or ends
the process. A job that is stopped, with Ctrl-C or by its listener, raises `CancelledError`.
"""
