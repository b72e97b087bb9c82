"""Reading specs: the only place that reads YAML."""
