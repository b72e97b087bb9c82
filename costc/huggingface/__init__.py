"""From a Hugging Face config.json to a model spec: what it says is translated, what is not understood is refused by name."""
