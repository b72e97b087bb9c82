"""Simplification of programs: named rules in a fixed order, a report, and a check that values stay."""

from costc.simplify.rules import RULES, Report, simplify

__all__ = ["RULES", "Report", "simplify"]
