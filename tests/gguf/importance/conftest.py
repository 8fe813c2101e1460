"""Tiny models of every architecture, and llama.cpp."""

from tests.converters.conftest import llama_cpp, make_model

__all__ = ["llama_cpp", "make_model"]
