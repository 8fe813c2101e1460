"""Hugging Face model folders to GGUF files. Knows nothing of training and needs no torch."""
