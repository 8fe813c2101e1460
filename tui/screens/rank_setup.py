"""Before ranking: who answers, what is asked, how many answers, where the votes go."""

from tui.pages.vote_setup import VoteSetup


class RankSetup(VoteSetup):
    """Opens the ranking."""

    NAME = "Rank"
    ABOUT = (
        "A model writes several answers to a prompt, you put them in order, best first; from that it can learn your taste. "
        "Every vote is on disk before it counts, and a session continues where it was left."
    )
    VOTES_ON = "rank"
    FILE = "rank.json"
    ROWS = (
        ("models", "models", "Who answers; several take turns, and whose answer is which is not shown."),
        ("prompts", "prompts", "What is asked."),
        ("count", "answers", "How many for each prompt, from 2 to 4."),
        ("temperature", "temperature", "Spread of the answers; nearly identical ones are regenerated at a higher one."),
        ("max_tokens", "longest answer", "In tokens; empty means 512, at most half the context."),
        ("into", "votes go to", "The preference file of that name, for 'train --method dpo'."),
    )
