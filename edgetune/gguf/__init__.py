"""Export: a run or a model folder becomes a GGUF file, and a GGUF file a model folder again."""
