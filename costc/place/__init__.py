"""Placement: which axes each strategy cuts, and the collectives that follow."""
