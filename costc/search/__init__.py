"""Search: evaluating every candidate of a study and choosing among them."""
