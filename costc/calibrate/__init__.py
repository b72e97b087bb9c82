"""Fitting the constants of operators and engines to measurements."""
