"""The proof: a finished GGUF file checked against the model and adapter it was made from."""
