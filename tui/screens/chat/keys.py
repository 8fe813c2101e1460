"""The keys of a chat, by what they are about. The order is the order of the last line."""

from textual.binding import BindingType

from tui.keys import key

BRANCH_KEYS: list[BindingType] = [
    key("chat.up", "ctrl+up", "select(-1)", "Previous message", "Select the previous message: what follows is about that one.", show=False),
    key("chat.down", "ctrl+down", "select(1)", "Next message", "Select the next message.", show=False),
    key("chat.branch", "ctrl+n", "branch(1)", "Branch", "The next branch at the selected message, or at the last fork."),
    key("chat.unbranch", "ctrl+b", "branch(-1)", "Previous branch", "The previous branch at that message.", show=False),
]
VOTE_KEYS: list[BindingType] = [
    key("chat.second", "f4", "second", "Vote", "Write a second answer to the last or selected question, and choose the better."),
    key("chat.good", "f6", "thumbs(True)", "Thumb up", "This answer is good: saved as a vote.", show=False, priority=True),
    key("chat.bad", "f7", "thumbs(False)", "Thumb down", "This answer is bad: saved as a vote.", show=False, priority=True),
    key(
        "chat.better",
        "f8",
        "better",
        "Edit answer",
        "Write the answer as it should have been: yours is chosen, the model's rejected.",
        show=False,
    ),
]
LINK_KEYS: list[BindingType] = [
    key("chat.talks", "f3", "conversations", "Conversations", "Find a saved conversation and continue it.", show=False),
    key("chat.example", "f5", "example", "To examples", "Add this conversation to a file of examples.", show=False),
    key("chat.adapters", "f9", "adapters", "Adapters", "Adapters on or off, and how strong.", show=False),
    key("chat.beside", "f12", "two_models", "Two models", "The same questions to this model and to another one, side by side.", show=False),
    key("chat.rank", "f10", "rank", "Rank", "Put several answers of this model in order, prompt by prompt.", show=False),
]
ANSWER_KEYS: list[BindingType] = [
    key(
        "chat.stop", "escape", "back", "Stop or back", "Stop the answer and keep what has been written; if none is being written, go back."
    ),
    key("chat.again", "ctrl+r", "again", "Again", "Another answer to the last or selected question; the old one stays as a branch."),
    key("chat.edit", "ctrl+o", "edit", "Edit", "Change the last or selected question; the old one stays as a branch."),
    key("chat.ways", "ctrl+t", "settings", "Settings", "System prompt, temperature and the like."),
    key("chat.model", "ctrl+g", "model", "Other model", "Chat with another run, base or GGUF file.", show=False),
    key("chat.reset", "ctrl+l", "reset", "New chat", "Start a new chat; this one is saved."),
]
