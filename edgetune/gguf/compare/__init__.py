"""GGUF types of one model measured side by side: size, perplexity, distance, speed, and which one to choose."""
