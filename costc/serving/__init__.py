"""Serving algebra: from kernel times to phases, metrics and memory, as one program."""
