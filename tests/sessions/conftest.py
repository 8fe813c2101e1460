"""Model files, an engine and an author of answers, as the tests of chat and of preferences have them."""

from tests.chat.conftest import chat, engine, environment, make_stories, nano_gguf, stories_gguf
from tests.preferences.conftest import author, files, store

__all__ = ["author", "chat", "engine", "environment", "files", "make_stories", "nano_gguf", "store", "stories_gguf"]
