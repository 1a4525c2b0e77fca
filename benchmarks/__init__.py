"""Measurements and the demo: each a script, run as ``python -m benchmarks.<name>``."""
