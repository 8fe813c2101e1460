"""Base models on disk: find, fetch, identify, read their tokenizer and template, load them, also in NF4."""
