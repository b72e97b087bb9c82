"""Latency: from counts to time. Rates enter here, as symbols."""
