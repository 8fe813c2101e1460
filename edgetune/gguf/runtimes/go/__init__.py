"""A chat template translated to Go's template language, as Ollama needs it, and verified against Jinja."""
