"""Closed forms of operator time, one file for each class."""
