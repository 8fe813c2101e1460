"""Before an arena: which models meet, on which prompts, where the votes go."""

from edgetune.sessions.vote_plan import VotePlan
from tui.pages.vote_setup import VoteSetup


class ArenaSetup(VoteSetup):
    """Opens the arena."""

    NAME = "Arena"
    ABOUT = (
        "Models answer the same prompts, and you pick the better answer without knowing whose it is: base against tuned, "
        "full precision against quantized, one run against another. It continues where it was left."
    )
    VOTES_ON = "arena"
    LEAST, MOST = 2, 8
    FILE = "arena.json"
    USUAL = VotePlan(temperature=0.7, into="arena")
    PROMPTS = ("file", "talks")
    ROWS = (
        ("models", "models", "Two or more; every two of them meet on each prompt."),
        ("prompts", "prompts", "What is asked."),
        ("limit", "how many", "Use only the first prompts; empty uses all."),
        ("temperature", "temperature", "Spread of the answers; 0 always gives the likeliest token."),
        ("max_tokens", "longest answer", "In tokens; empty means 512, at most half the context."),
        ("into", "votes go to", "The preference file of that name."),
    )
