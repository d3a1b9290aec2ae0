"""Templates for CPUs; `fallback` schedules what no template takes."""
