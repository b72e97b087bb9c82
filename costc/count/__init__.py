"""Counting: what each kernel computes, moves and sends, as rows; no rate enters here."""
