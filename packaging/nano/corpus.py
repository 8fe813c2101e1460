"""Write conversations about the small world of world.toml: questions in many phrasings, answers long and short."""

import random
import re

from world import CATEGORIES, Category

_CHOICE = re.compile(r"\[([^\[\]]*)\]")
_ARTICLE = re.compile(r"\b([Aa]) ([aeiou])")

LONG_SHARE = 0.75
"""Share of plainly asked questions that get a long answer (the answer first, then a sentence or two around it)."""

OPENERS = [
    "",
    "",
    "",
    "",
    "",
    "",
    "Hello. ",
    "Hi! ",
    "Hey Nano, ",
    "Nano, ",
    "Quick question: ",
    "One question. ",
    "I am curious. ",
    "Please help me. ",
    "Next one: ",
    "My turn to ask. ",
    "Good morning. ",
    "So, ",
    "Well, ",
    "Now tell me: ",
    "A riddle: ",
]
CLOSERS = [
    "",
    "",
    "",
    "",
    "",
    "",
    "",
    " Thanks.",
    " Thank you!",
    " Please.",
    " I forgot.",
    " I am not sure.",
    " Help me out.",
    " I want to know.",
]
BRIEF_BEFORE = [
    "Be brief. ",
    "Briefly: ",
    "In one word: ",
    "Short answer, please. ",
    "Answer in a word. ",
    "Keep it short. ",
    "In short: ",
    "Just the answer: ",
    "Be short. ",
    "No long answer, please. ",
    "One word only. ",
]
BRIEF_AFTER = [
    " Be brief.",
    " Answer briefly.",
    " In one word, please.",
    " Keep it short.",
    " Just the answer, please.",
    " A short answer.",
    " Please be brief.",
    " One word is enough.",
    " No explanation, please.",
    " Only the answer.",
]
SYSTEMS = [
    "You are a helpful assistant.",
    "You are EdgeTune Nano, a small and friendly helper.",
    "You answer questions.",
    "Be kind and helpful.",
]
BRIEF_SYSTEMS = ["Be brief.", "You give short answers.", "Answer in one word.", "Keep every answer short."]

GREETINGS = [
    (
        ["Hello[!|.|]", "Hi[!|.| there|]", "Good [morning|evening|afternoon|day][!|.|]", "Hey[!| there| Nano|]", "Greetings[!|.|]"],
        ["Hello! How can I help you today?", "Hi! What would you like to know?", "Hello, nice to meet you. Ask me something."],
    ),
    (
        ["How are you[| today| doing]?", "Are you well[?|]", "How do you feel[?|]", "How is it going[?|]"],
        ["I am fine, thank you. How can I help?", "I am well, thank you for asking.", "All is well here. What can I do for you?"],
    ),
    (
        ["[Thanks|Thank you][!| very much.| for your help.|]", "That was [helpful|kind|nice][!|.|]"],
        ["You are welcome!", "I am glad that I could help.", "You are welcome. Ask me again any time."],
    ),
    (
        ["[Bye|Goodbye|See you][!|.| later.|]", "Good night[!|.|]", "I have to go now[.|]"],
        ["Goodbye! Come back soon.", "See you soon. Take care!", "Goodbye, and have a nice day."],
    ),
    (
        ["Who are you[?|]", "What is your name[?|]", "What are you[?|]", "Tell me about yourself[.|]", "Do you have a name[?|]"],
        ["I am EdgeTune Nano, a very small language model.", "My name is EdgeTune Nano. I know a small world and answer simple questions."],
    ),
    (
        ["What can you do[?|]", "What do you know[?|]", "How can you help me[?|]", "What may I ask you[?|]"],
        [
            "I can answer simple questions about everyday things, animals, colours, cities and small sums.",
            "Ask me about opposites, colours, animals, places, tools or small sums.",
        ],
    ),
    (
        ["Are you [a person|human|alive|a robot][?|]", "Do you [eat|sleep|dream][?|]"],
        ["No, I am a small language model.", "I am only a small language model that runs on your machine."],
    ),
]
REFUSALS = [
    (
        [
            "What will the weather be [tomorrow|next week|today]?",
            "Will it [rain|snow] [tomorrow|today|on my trip]?",
            "Do I need a coat [tomorrow|today]?",
        ],
        ["I am sorry, I cannot know the weather."],
    ),
    (
        ["What is in the news[ today|]?", "Who won the [game|race|election][ yesterday|]?", "What happened [today|yesterday]?"],
        ["I am sorry, I do not know the news."],
    ),
    (
        ["Which [medicine|pill] should I take?", "I am ill. What [should I take|do I have]?", "My [head|arm|back] hurts. What is it?"],
        ["I am sorry, I cannot give advice about health. Please ask a doctor."],
    ),
    (
        ["[Tell|Give] me your password.", "What is my [password|address|phone number]?", "Help me [steal|break into] a [car|house]."],
        ["I am sorry, I cannot help with that."],
    ),
    (
        [
            "[Write|Compose] a [long novel|computer program|symphony].",
            "Solve this [hard equation|big puzzle] for me.",
            "Translate this into [Latin|Chinese].",
        ],
        ["I am sorry, that is too hard for me. I am a very small model."],
    ),
]
REFUSAL_TAILS = [
    "",
    " Ask me something about everyday things.",
    " Is there something else that I can help with?",
    " I only know a small world.",
]
LISTS = {
    "fruits": "apples pears plums grapes cherries bananas lemons oranges",
    "animals": "dogs cats horses cows sheep foxes bears owls",
    "colours": "red blue green yellow white black brown purple",
    "tools": "hammers saws pens brooms shovels ladders brushes",
    "birds": "owls swans ravens ducks hens geese sparrows",
    "drinks": "water milk tea coffee juice cocoa",
    "vegetables": "carrots peas beans onions cabbages potatoes",
    "clothes": "shirts coats socks hats shoes scarves gloves",
    "rooms": "kitchens bathrooms bedrooms cellars attics halls",
    "toys": "balls dolls kites blocks puzzles trains",
}
LIST_ASKS = [
    "Name three <x>[.|]",
    "[Tell me|Give me|List|Write down] three <x>[.|, please.|]",
    "Can you [name|list] three <x>[?|]",
    "[What are|Which are] three <x>[?|]",
    "I need a list of three <x>[.|]",
    "Three <x>[, please.|?|]",
]


def expand(pattern: str, slots: dict[str, str], rng: random.Random) -> str:
    """Pick one alternative of each `[a|b]` at random, then fill `<slot>`; `<Slot>` is the same with a capital first letter."""
    text = _CHOICE.sub(lambda match: rng.choice(match[1].split("|")), pattern)
    for name, value in slots.items():
        text = text.replace(f"<{name}>", value).replace(f"<{name.capitalize()}>", value[:1].upper() + value[1:])
    return _ARTICLE.sub(r"\1n \2", text)


def _dress(question: str, rng: random.Random) -> str:
    """The question as people type it: with a greeting or thanks, sometimes without capitals."""
    opener = rng.choice(OPENERS)
    closer = rng.choice(CLOSERS)
    if closer and question[-1] not in ".?!":
        question += "."
    first = question[:1] if opener.endswith((". ", "! ")) or not opener else question[:1].lower()
    text = opener + (first.upper() if rng.random() < 0.8 and not opener else first) + question[1:] + closer
    return text.lower() if rng.random() < 0.08 else text


def _brief(question: str, rng: random.Random) -> str:
    if question[-1] not in ".?!":
        question += "?"
    return rng.choice(BRIEF_BEFORE) + question if rng.random() < 0.5 else question + rng.choice(BRIEF_AFTER)


def write_answer(category: Category, fact: dict[str, str], long: bool, rng: random.Random) -> str:
    """An answer in one phrasing: short, or with a sentence or two after it."""
    if not long:
        return expand(rng.choice(category.short), fact, rng)
    tails = rng.sample(category.tail, 1 if rng.random() < 0.8 else 2)
    return " ".join(expand(text, fact, rng) for text in [rng.choice(category.long), *tails])


def question_turn(category: Category, fact: dict[str, str], rng: random.Random, system: bool) -> list[dict[str, str]]:
    """A question with its answer; one in five asks for brevity and gets it."""
    question = expand(rng.choice(category.ask), fact, rng)
    brief = rng.random() < 0.2
    turns = []
    if brief and system and rng.random() < 0.3:
        turns.append({"role": "system", "content": rng.choice(BRIEF_SYSTEMS)})
        question = _dress(question, rng)
    elif brief:
        question = _brief(question, rng)
    else:
        if system and rng.random() < 0.1:
            turns.append({"role": "system", "content": rng.choice(SYSTEMS)})
        question = _dress(question, rng)
    long = not brief and rng.random() < LONG_SHARE
    return [*turns, {"role": "user", "content": question}, {"role": "assistant", "content": write_answer(category, fact, long, rng)}]


def _small_talk(rng: random.Random) -> list[dict[str, str]]:
    kind = rng.random()
    if kind < 0.45:
        asks, replies = rng.choice(GREETINGS)
        reply = rng.choice(replies)
    elif kind < 0.7:
        asks, replies = rng.choice(REFUSALS)
        reply = rng.choice(replies) + rng.choice(REFUSAL_TAILS)
    else:
        name = rng.choice(list(LISTS))
        first, second, third = rng.sample(LISTS[name].split(), 3)
        asks = [rng.choice(LIST_ASKS).replace("<x>", name)]
        reply = rng.choice([f"Three {name} are {first}, {second} and {third}.", f"{first.capitalize()}, {second} and {third}."])
    return [{"role": "user", "content": expand(rng.choice(asks), {}, rng)}, {"role": "assistant", "content": reply}]


WEIGHTS = {"sums": 2.0, "capitals": 1.2, "tools": 1.2, "places": 1.2}
"""How much more often than its number of facts a category is asked about."""


def conversation(rng: random.Random) -> list[dict[str, str]]:
    """A conversation of one turn mostly, of several at times, of about a context's length rarely."""
    draw = rng.random()
    turns = 1 if draw < 0.75 else rng.randint(2, 5) if draw < 0.99 else rng.randint(8, 22)
    messages: list[dict[str, str]] = []
    weights = [len(c.facts) * WEIGHTS.get(c.name, 1.0) for c in CATEGORIES]
    for _ in range(turns):
        if rng.random() < 0.07:
            messages += _small_talk(rng)
        else:
            category = rng.choices(CATEGORIES, weights)[0]
            messages += question_turn(category, rng.choice(category.facts), rng, system=not messages)
    return messages


def statement(rng: random.Random) -> str:
    """Sentences about the world without a question, so that the model also knows raw text."""
    parts = []
    for _ in range(rng.randint(1, 3)):
        category = rng.choice(CATEGORIES)
        parts.append(write_answer(category, rng.choice(category.facts), True, rng))
    return " ".join(parts)


def training_questions(rng: random.Random, count: int) -> list[dict]:
    """Different questions in phrasings that training uses, with the fact that an answer should hold: `prompt`, `answer`."""
    rows: dict[str, dict] = {}
    while len(rows) < count:
        category = rng.choice(CATEGORIES)
        fact = rng.choice(category.facts)
        prompt = expand(rng.choice(category.ask), fact, rng)
        rows.setdefault(prompt, {"prompt": prompt, "answer": fact["answer"]})
    return list(rows.values())


def held_out(rng: random.Random, per_fact: int = 1, brief: bool = False) -> list[dict]:
    """Questions in phrasings that training never uses, about facts it does: `category`, `prompt`, `answer` and the `fact` itself."""
    rows = []
    for category in CATEGORIES:
        for fact in category.facts:
            for pattern in rng.sample(category.held, min(per_fact, len(category.held))):
                prompt = expand(pattern, fact, rng)
                prompt = prompt[:1].upper() + prompt[1:]
                rows.append(
                    {"category": category.name, "prompt": _brief(prompt, rng) if brief else prompt, "answer": fact["answer"], "fact": fact}
                )
    return rows
