"""The networks in INT8 that ``nox -s bench -- --int8`` measures, and their table."""
