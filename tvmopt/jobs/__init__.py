"""Jobs: the work of each command as a function that a script, a notebook or a page can also call.

Each takes an options dataclass and a listener (`pipeline.support.progress`), and returns a value; none prints or ends
the process. A job stopped by Ctrl-C or by its listener raises `CancelledError`.
"""
