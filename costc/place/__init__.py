"""Placement: which axes each strategy cuts, and the collectives that follow."""

#: strategies whose degree has a command-line option of its own; others take `--degree NAME=N`
OPTIONS = ("tp", "pp", "ep", "dp")
