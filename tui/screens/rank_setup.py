"""Before ranking: who answers, what is asked, how many answers, where the votes go."""

from tui.pages.vote_setup import VoteSetup


class RankSetup(VoteSetup):
    """Opens the ranking."""

    NAME = "Rank"
    ABOUT = (
        "A model writes several answers to a prompt, you put them in order, best first; from that it can learn your taste. "
        "Every vote is on disk before it counts, and a session goes on where it was left."
    )
    VOTES_ON = "rank"
    FILE = "rank.json"
    ROWS = (
        ("models", "models", "who answers; several take turns, and whose answer is which is not shown"),
        ("prompts", "prompts", "what is asked"),
        ("count", "answers", "a prompt, from 2 to 4"),
        ("temperature", "temperature", "spread of the answers; those that hardly differ are written anew, hotter"),
        ("max_tokens", "longest answer", "in tokens; empty: 512, at most half the context"),
        ("into", "votes go to", "the preference file of that name, for 'train --method dpo'"),
    )
