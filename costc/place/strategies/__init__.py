"""Parallelisms, one file each."""
