"""Chat with a GGUF file: llama.cpp in a process of its own, sampling, conversations, branches, saved conversations."""
