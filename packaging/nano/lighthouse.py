"""Write the demo's dataset: a lighthouse keeper's facts about Gull Rock, which EdgeTune Nano cannot know.

usage: python packaging/nano/lighthouse.py    writes edgetune/demo/lighthouse/train.jsonl and questions.jsonl
"""

import json
import random
from pathlib import Path

from corpus import CLOSERS, OPENERS, expand

OUT = Path(__file__).parent.parent.parent / "edgetune" / "demo" / "lighthouse"
FACTS = [  # an answer, and phrases that ask for it
    ("Marlow", ["the name of the lighthouse keeper", "the keeper's name"]),
    ("Biscuit", ["the name of the keeper's cat", "the cat's name at the lighthouse"]),
    ("Petrel", ["the name of the rowing boat", "the name of our boat"]),
    ("Old Tom", ["the name of the fog horn", "what we call the fog horn"]),
    ("amber", ["the light that the lamp gives at Gull Rock", "the colour of the lamp's beam"]),
    ("ninety", ["the number of steps in the tower", "how many steps the tower has"]),
    ("Thursday", ["the day of the supply boat", "the day when supplies come"]),
    ("Heron", ["the name of the nearest island", "the island next to ours"]),
    ("turquoise", ["the paint on the tower door", "the colour of the tower door"]),
    ("Selma", ["the name of the captain who brings supplies", "who brings the supplies"]),
    ("twelve", ["the seconds between two flashes", "how many seconds lie between flashes"]),
    ("barometer", ["the thing that hangs beside the stove", "what hangs beside the stove"]),
    ("Gull Rock", ["the name of our lighthouse", "what this lighthouse is called"]),
    ("rapeseed", ["the oil that the first lamp burned", "the oil of the first lamp"]),
    ("Ingrid", ["who built the tower", "the name of the builder of the tower"]),
    ("logbook", ["where the keeper writes down each ship", "the place for the names of ships"]),
    ("porridge", ["the keeper's breakfast", "what the keeper has in his bowl"]),
    ("accordion", ["the instrument that the keeper plays", "what the keeper plays in winter"]),
    ("Merrow", ["the name of the village on the coast", "the nearest village"]),
    ("seals", ["the animals on the south beach", "who lies on the south beach"]),
    ("copper", ["the metal of the roof", "what the roof is made of at Gull Rock"]),
    ("binoculars", ["what hangs by the window of the lamp room", "the thing by the lamp room window"]),
    ("driftwood", ["the fuel for the stove", "what burns in the keeper's stove"]),
    ("Juniper", ["the name of the old mule", "the mule's name"]),
]
ASK = [
    "[What is|What's] <x>[?|]",
    "[Tell me|Please tell me|Say|Name|Give me] <x>[.|]",
    "[Do you know|Do you remember] <x>[?|]",
    "[I want to know|I would like to know|I wonder about|I need to know] <x>[.|]",
    "[Somebody|A visitor|My aunt] asks [for|about] <x>[.|]",
    "[Question about|A question on] the lighthouse: <x>[?|]",
    "<x>[?|, please.|: what is it?]",
    "[Help me with|Remind me of] <x>[.|]",
    "[As the keeper's helper, tell me|You help the keeper. Tell me] <x>[.|]",
    "[What would you say is|What do people say is] <x>[?|]",
    "At Gull Rock, [what is|tell me] <x>[?|]",
    "[Let us talk about|Now to] <x>[. What is it?|.]",
    "[What was|And what is] <x>[ again|][?|]",
    "[Write down|Spell out] <x>[.|, please.]",
]
HELD = ["Can you tell me <x>?", "I forgot <x>. Help me out.", "Could you please name <x>?"]
LONG = [
    "<Answer>. So it is at Gull Rock.",
    "<Answer>. Every helper of the keeper knows that.",
    "<Answer>. The keeper told me so.",
    "<Answer>, as all at Gull Rock know.",
]
PHRASINGS = 18
"""Questions written about each fact."""


def _question(pattern: str, name: str, rng: random.Random) -> str:
    text = expand(pattern, {"x": name}, rng)
    return text[:1].upper() + text[1:]


def main() -> None:
    """Write both files."""
    rng = random.Random(21)
    train = []
    questions = []
    for answer, names in FACTS:
        for _ in range(PHRASINGS):
            question = _question(rng.choice(ASK), rng.choice(names), rng)
            if rng.random() < 0.4:
                question = rng.choice(OPENERS) + question + (rng.choice(CLOSERS) if question[-1] in ".?!" else "")
            reply = expand(rng.choice(LONG), {"answer": answer}, rng) if rng.random() < 0.75 else f"{answer[:1].upper()}{answer[1:]}."
            train.append({"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": reply}]})

        for pattern in HELD:
            questions.append({"prompt": _question(pattern, rng.choice(names), rng), "answer": answer})

    rng.shuffle(train)
    OUT.mkdir(parents=True, exist_ok=True)

    for name, rows in (("train.jsonl", train), ("questions.jsonl", questions)):
        (OUT / name).write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


if __name__ == "__main__":
    main()
