"""Reports: from a study's choices to Markdown that argues, with figures."""
