"""Measurements that the documentation quotes. Each prints its table; run as `python -m benchmarks.NAME`."""
