"""Benchmark, off by default: `python -m tests.bench`."""
