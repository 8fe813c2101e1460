"""The small world that EdgeTune Nano knows: what there is to ask about, and how people ask.

A category holds its facts (slots and one expected answer) and its phrasings. A phrasing is a pattern: `[a|b|]` picks one of the
alternatives, `<x>` is a slot. `held` phrasings are never trained on; they measure the model.
Everything here was invented for this project.
"""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Category:
    """One kind of question with its facts, its phrasings and the forms of its answers."""

    name: str
    facts: list[dict[str, str]]  # slots; "answer" is what a right reply contains as whole words
    ask: list[str]
    held: list[str]
    short: list[str]
    long: list[str]
    tail: list[str] = field(default_factory=list)


def _facts(slot: str, text: str) -> list[dict[str, str]]:
    """'hot=cold, big=small' becomes slot dictionaries."""
    pairs = (part.strip().split("=") for part in text.split(",") if part.strip())
    return [{slot: " ".join(key.split()), "answer": answer.strip()} for key, answer in pairs]


_OPPOSITES = """hot=cold, big=small, up=down, fast=slow, day=night, old=young, light=dark, happy=sad, wet=dry, loud=quiet, open=closed,
full=empty, hard=soft, high=low, long=short, rich=poor, strong=weak, thick=thin, early=late, near=far, clean=dirty, left=right,
win=lose, push=pull, buy=sell, start=stop, sweet=sour, heavy=light, front=back, in=out, on=off, true=false, brave=afraid,
wide=narrow, smooth=rough, first=last"""

_COLOURS = """a banana=yellow, the grass=green, the sky=blue, snow=white, coal=black, a tomato=red, a carrot=orange, a lemon=yellow, a
frog=green, a flamingo=pink, milk=white, chocolate=brown, blood=red, the sun=yellow, a leaf=green, the sea=blue, a pumpkin=orange,
a strawberry=red, a raven=black, an elephant=grey, a swan=white, a plum=purple, a pea=green, a pig=pink, tree bark=brown, the
night=black, a cucumber=green, salt=white, a fire engine=red, a blueberry=blue, a mouse=grey, lavender=purple"""

_YOUNG = """dog=puppy, cat=kitten, cow=calf, horse=foal, sheep=lamb, pig=piglet, goat=kid, hen=chick, duck=duckling, bear=cub,
frog=tadpole, goose=gosling, kangaroo=joey, deer=fawn, owl=owlet, swan=cygnet"""

_SOUNDS = """dog=barks, cat=meows, cow=moos, lion=roars, sheep=bleats, duck=quacks, snake=hisses, bee=buzzes, wolf=howls, mouse=squeaks,
horse=neighs, owl=hoots, bird=sings, pig=grunts, frog=croaks, crow=caws"""

_LEGS = """dog=four, spider=eight, bee=six, bird=two, snake=none, horse=four, ant=six, hen=two, cow=four, fish=none, crab=ten, beetle=six,
person=two, cat=four"""

_TIMES = """eat breakfast=morning, eat lunch=noon, go to bed=evening, see the stars=night, watch the sunrise=morning, watch the
sunset=evening, eat supper=evening, hear the owls=night, brush your hair after waking=morning, have tea and cake=afternoon, walk
home from school=afternoon, sleep deeply=night, hear the rooster=morning, take a nap after lunch=afternoon, read a bedtime
story=evening, see the moon high up=night, have the sun right above you=noon, pack the school bag=morning"""

_TOOLS = """cut bread=knife, eat soup=spoon, write a letter=pen, sweep the floor=broom, open a lock=key, hit a nail=hammer, dig a
hole=shovel, dry your hair=towel, boil water=kettle, tell the time=clock, light a candle=match, sew a
shirt=needle, stay dry in the rain=umbrella, paint a picture=brush, climb to the roof=ladder, catch a fish=net, see far
away=telescope, carry books=bag, comb your hair=comb, draw a straight line=ruler, wash your hands=soap, turn a screw=screwdriver,
measure warmth=thermometer, cross a river=boat, chop wood=axe, water the flowers=hose, cook an egg=pan"""

_PLACES = """borrow books=library, buy bread=bakery, see a doctor=hospital, learn to read=school, catch a train=station, see old
paintings=museum, watch a film=cinema, post a letter=post office, buy medicine=pharmacy, swim in winter=pool, see lions=zoo, board
a plane=airport, grow wheat=farm, sleep on a trip=hotel, cook dinner=kitchen, take a bath=bathroom, keep money=bank, play on a
swing=playground, have a meal out=restaurant, mend a car=garage, see ships come in=harbour, have hair cut=barber, pick
apples=orchard, build a sand castle=beach"""

_CAPITALS = """France=Paris, Italy=Rome, Spain=Madrid, Germany=Berlin, Japan=Tokyo, Egypt=Cairo, Greece=Athens, Norway=Oslo,
Sweden=Stockholm, Finland=Helsinki, Poland=Warsaw, Portugal=Lisbon, Ireland=Dublin, Austria=Vienna, Russia=Moscow, China=Beijing,
Cuba=Havana, Peru=Lima, Canada=Ottawa, Hungary=Budapest, Denmark=Copenhagen, Kenya=Nairobi, Turkey=Ankara, England=London"""

_MAKERS = """honey=bees, milk=cows, wool=sheep, eggs=hens, bread=flour, paper=wood, glass=sand, wine=grapes, cheese=milk, butter=cream,
ice=water, chairs=wood, a candle=wax, rain=clouds, shade=trees, jam=fruit"""

_DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
_MONTHS = ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"]


def _after(names: list[str], kind: str) -> list[dict[str, str]]:
    return [{"x": name, "kind": kind, "answer": names[(i + 1) % len(names)]} for i, name in enumerate(names)]


HELD_SUMS = {(2, 7), (9, 3), (4, 4), (6, 8), (5, 1), (8, 5), (3, 6), (1, 9), (7, 7), (10, 4), (2, 10), (6, 3)}
"""Sums the model is never taught, to see whether it adds or remembers."""


def sums(held: bool) -> list[dict[str, str]]:
    """Sums of two numbers from 1 to 10: the taught ones (88), or the held ones (12)."""
    pairs = [(a, b) for a in range(1, 11) for b in range(1, 11)]
    return [{"a": str(a), "b": str(b), "answer": str(a + b)} for a, b in pairs if ((a, b) in HELD_SUMS) == held]


CATEGORIES = [
    Category(
        "opposites",
        _facts("x", _OPPOSITES),
        ask=[
            "[What is|What's|Tell me|Please tell me|Do you know|Can you tell me|Say] the opposite of [|the word |the word: ]<x>[?|.|]",
            "[Which|What] word [means|is|says] the opposite of <x>[?|]",
            "[The opposite of|Opposite of|opposite:] <x>[?|]",
            "<x> [is the opposite of|and its opposite is|has which opposite, and it is] what[?|]",
            "[If|When] [it|something] is not <x>, what is it[| then][?|]",
            "[Turn|Change|Switch] the word <x> into its opposite[.|]",
            "[Name|Find|Write] the [opposite|reverse|contrary] of <x>[, please.|.|]",
            "[I need|I want|I am looking for] [the|a] word that is the [opposite|reverse|contrary] of <x>[.|]",
            "[What would be|What might be] the [reverse|contrary|opposite] of [the word |]<x>[?|]",
            "My friend says <x>. What is the [opposite|reverse|contrary][?|]",
            "[The word is|My word is|Here is a word:] <x>. [What is|Give|Say] its [opposite|contrary|reverse][.|?]",
            "[How do you say|How would I say] the [opposite|contrary] of <x>[?|]",
            "[Not|Never] <x>[,|] but [what|the opposite, which is][?|]",
        ],
        held=[
            "Could you give me the opposite of <x>?",
            "What do you call the opposite of <x>?",
            "I forgot the opposite of <x>. What is it?",
            "Think of the word <x>. What is the opposite?",
        ],
        short=["<Answer>."],
        long=["<Answer> is the opposite of <x>.", "<Answer>, which is the opposite of <x>.", "<Answer>. That is the opposite of <x>."],
        tail=[
            "The two words pull in different directions.",
            "They make a nice pair of words.",
            "One says the one thing and one the other.",
            "You can use both words in a story.",
            "It is good to know both words.",
        ],
    ),
    Category(
        "sums",
        sums(held=False),
        ask=[
            "[What is|What's|Tell me|Do you know|Please tell me|How much is|Work out|Find] <a> [+|plus|and|added to] <b>[?|.|]",
            "<a> [+|plus] <b>[ =| is| makes| equals|][?| ?|]",
            "[Add|Please add|Can you add|Sum|Put together] <a> and <b>[.|?|]",
            "[I have|She has|He has|We have] <a> [apples|pears|coins|books|eggs] and [get|buy|find] <b> more. How many is that[?|]",
            "[What do you get|What comes out|How much do you get] [when you add|if you add|for] <a> [and|to|plus] <b>[?|]",
            "[The sum of|What is the sum of|Tell me the sum of] <a> and <b>[?|.|]",
            "[Take|Start with|Begin with] <a> and add <b>[.| to it.|, please.] [What do you get?|How much is it?|]",
            "[There are|I see] <a> [birds|cats|boats] and then <b> more [come|join]. How many [are there|in all][?|]",
            "[Count|Go] <b> [on|up|further] from <a>[. Where do you end?|.|]",
            "[How many are|How much are] <a> [and|plus] <b>[ together| in all|][?|]",
            "[Help me with|Solve] [this sum|my homework]: <a> [+|plus] <b>[.|]",
        ],
        held=[
            "Can you tell me what <a> plus <b> is?",
            "If I add <a> and <b>, what do I get?",
            "What does <a> + <b> make?",
            "Please work out the sum <a> + <b>.",
        ],
        short=["<answer>."],
        long=[
            "<answer> is what <a> plus <b> makes.",
            "<answer>. If you add <a> and <b>, you get <answer>.",
            "<answer>, since <a> and <b> together make <answer>.",
        ],
        tail=[
            "Counting on your fingers shows it too.",
            "Sums like this get easy with practice.",
            "You can check it with small stones.",
            "It is the same the other way round.",
        ],
    ),
    Category(
        "colours",
        _facts("x", _COLOURS),
        ask=[
            "[What|Which] colour [is|has|would you give] <x>[?|]",
            "[Tell me|Please tell me|Say|Name|Do you know|Can you tell me] the colour of <x>[.|?|]",
            "[What is|What's] the colour of <x>[?|]",
            "[I want to|Let me|We will|Help me] [paint|draw] <x>. [Which|What] colour [do I need|should I use|is right][?|]",
            "[Colour of|The colour of] <x>[?|]",
            "<x>[:| has] what colour[?|]",
            "[When you|If you] look at <x>, [what|which] colour do you see[?|]",
            "[Think of|Picture|Imagine] <x>. [What|Which] colour [is it|does it have][?|]",
            "[In|Of] [what|which] colour [do we see|do people paint|is] <x>[?|]",
            "[My child asks|Somebody asks|A friend asks] [what|which] colour <x> [is|has][.|?|]",
            "[How would you|How do you] colour <x>[ in a picture|][?|]",
        ],
        held=[
            "Could you tell me what colour <x> is?",
            "What colour does <x> have?",
            "I forgot the colour of <x>. What is it?",
            "Which colour do you see on <x>?",
        ],
        short=["<Answer>."],
        long=["<Answer> is the colour of <x>.", "<Answer>. Most people see <x> in <answer>.", "<Answer>, that is how we know <x>."],
        tail=[
            "You would spot it at once.",
            "A box of paints holds that colour.",
            "It looks nice in a picture.",
            "Children paint it so too.",
        ],
    ),
    Category(
        "young animals",
        _facts("x", _YOUNG),
        ask=[
            "What [is|do you call|do people call] a [young|baby|little|small] <x>[ called|][?|]",
            "[Tell me|Say|Please tell me|Do you know|Give me] the [name|word] for a [young|baby|little] <x>[.|?|]",
            "[A|The] [baby|young|little] <x> is [called|known as|named] what[?|]",
            "[What is|What's] the [name|word] for [a|the] [child|baby|young one] of a <x>[?|]",
            "[How do we call|How do you call] a [young|baby|little] <x>[?|]",
            "[A|My] <x> has a [baby|little one|young one]. What is it called[?|]",
            "[Name|What are] the [young|babies|little ones] of a <x>[ called|][?|.|]",
            "[When|If] a <x> is [young|a baby|still little], what [do we call it|is its name|is it called][?|]",
            "[Young|Baby|Little] <x>[: what is the word| is called|: its name][?|]",
        ],
        held=["What would you call a young <x>?", "Which word do we use for a baby <x>?", "Can you tell me what a little <x> is called?"],
        short=["<Answer>.", "A <answer>."],
        long=["A <answer> is a young <x>.", "<Answer> is the word for a young <x>.", "A <answer>. That is what we call a baby <x>."],
        tail=["It stays close to its mother.", "It grows up fast.", "It likes to play and to sleep.", "Many children love it."],
    ),
    Category(
        "animal sounds",
        _facts("x", _SOUNDS),
        ask=[
            "[What|Which] [sound|noise] does a <x> make[?|]",
            "[What does|How does] a <x> [say|sound|go][?|]",
            "[Tell me|Say|Please tell me|Do you know|Name] the [sound|noise] of a <x>[.|?|]",
            "[What is|What's] the [sound|noise] [of|made by] a <x>[?|]",
            "[When|If] a <x> makes a [sound|noise], what does it do[?|]",
            "[I hear|There is] a <x> [outside|in the garden]. What [sound|noise] does it make[?|]",
            "[The|A] <x> makes [which|what] [sound|noise][?|]",
            "[A|The] <x> [is loud|calls out|wants to be heard]. What does it do[?|]",
            "[Sound|Noise] of a <x>[?|]",
            "[How can you hear|How do you know] that a <x> is [there|near][?|]",
        ],
        held=["Can you tell me what sound a <x> makes?", "What kind of noise does a <x> make?", "What sound would I hear from a <x>?"],
        short=["It <answer>."],
        long=["It <answer>. That is the sound of a <x>.", "A <x> <answer>.", "It <answer>, as every <x> does."],
        tail=[
            "You can hear it from far away.",
            "It is a sound that children copy.",
            "Each animal has a voice of its own.",
            "Listen for it outside.",
        ],
    ),
    Category(
        "legs",
        _facts("x", _LEGS),
        ask=[
            "How many legs [does|has] a <x> [have|got|][?|]",
            "[Tell me|Say|Please tell me|Do you know|Count] [how many legs a <x> has|the legs of a <x>][.|?|]",
            "[What is|What's] the number of legs [of|on] a <x>[?|]",
            "[A|The] <x> has how many legs[?|]",
            "[On how many legs|With how many legs] does a <x> [walk|go|stand][?|]",
            "[I draw|I am drawing|Let us draw] a <x>. How many legs [do I draw|does it need][?|]",
            "[Legs of a|Number of legs of a] <x>[?|]",
            "[If you|When you] count the legs of a <x>, [how many are there|what do you get][?|]",
        ],
        held=["Can you tell me how many legs a <x> has?", "How many legs are there on a <x>?", "How many legs will I see on a <x>?"],
        short=["<Answer>."],
        long=[
            "<Answer> is the number of legs of a <x>.",
            "<Answer>. Count the legs of a <x> and you will see.",
            "<Answer>, if you count the legs of a <x>.",
        ],
        tail=["It gets along well with that.", "That is how it was born.", "You can count them in a picture."],
    ),
    Category(
        "times of day",
        _facts("x", _TIMES),
        ask=[
            "[When|At what time of day] do [people|you|we] <x>[?|]",
            "[Which|What] time of day is [right|best|good|the time] to <x>[?|]",
            "[Tell me|Say|Do you know|Please tell me] when [people|we|you] <x>[.|?|]",
            "[What is|What's] the [right|best|usual] time of day to <x>[?|]",
            "[I want to|I would like to|My sister wants to] <x>. [When|At what time of day] [is that|do I do it|should that be][?|]",
            "[To|If I want to] <x>, [which|what] time of day [do I need|should I choose|is it][?|]",
            "[People|We|Children] <x> at [which|what] time of day[?|]",
            "[In which part|In what part] of the day do [people|you|we] <x>[?|]",
            "[Time of day to|The time to] <x>[?|]",
            "[Is there|What would be] a good time of day to <x>[?|]",
        ],
        held=[
            "Can you tell me at what time of day people <x>?",
            "During which part of the day do we <x>?",
            "When is the right time of day to <x>?",
        ],
        short=["<Answer>.", "In the <answer>."],
        long=["<Answer> is the time to <x>.", "<Answer>. That is when most people <x>.", "<Answer>, since that is when we <x>."],
        tail=["Every day has its order.", "It is the same for many people.", "Look at the light outside.", "It is a good part of the day."],
    ),
    Category(
        "tools",
        _facts("x", _TOOLS),
        ask=[
            "[What|Which thing|Which tool] do [you|I|people|we] [need|use|take] to <x>[?|]",
            "[I want to|I have to|I would like to|We want to|Help me, I must] <x>. What do [I|we] [need|use|take][?|]",
            "[With what|With which tool] [do you|do people|can I|do I] <x>[?|]",
            "[What is|What's] [good|used|needed|the right tool] to <x>[?|]",
            "[Tell me|Say|Please tell me|Name|Do you know] [what|the tool] [people use|you need|I need] to <x>[.|?|]",
            "[To|In order to] <x>, [what|which thing] do [I|you|we|people] [need|use|take][?|]",
            "[How do|How can] [I|you|people] <x>[? What helps?|? Which tool?]",
            "[Which tool|What|Which thing] helps [you|me|us|people] [to |]<x>[?|]",
            "[Tool|A thing|Something] to <x>[?|]",
            "[My father|Anna|My friend] wants to <x>. What [should he or she take|is needed|helps][?|]",
            "[What would you|What should I] [take|use|bring] to <x>[?|]",
        ],
        held=["Can you tell me what I need to <x>?", "What thing would you use to <x>?", "What do people take when they <x>?"],
        short=["<Answer>.", "A <answer>."],
        long=["A <answer> is what you need to <x>.", "A <answer>. With it you can <x>.", "A <answer>, that is the thing to <x>."],
        tail=["Put it back when you are done.", "Many homes have one.", "Take care when you use it.", "It makes the work easy."],
    ),
    Category(
        "places",
        _facts("x", _PLACES),
        ask=[
            "Where [do|can|could|should] [you|I|people|we] [go to |]<x>[?|]",
            "[In what|In which|At which] place [do|can] [you|I|people|we] <x>[?|]",
            "[I want to|I have to|I would like to|We want to] <x>. Where [do|should|can] [I|we] go[?|]",
            "[What|Which] [place|building] is [right|good|made|there] to <x>[?|]",
            "[Tell me|Say|Please tell me|Do you know|Name] [where|the place where] [people|I can|we|you] <x>[.|?|]",
            "[To|In order to] <x>, where [do|should] [I|you|we|people] go[?|]",
            "[What is|What's] the [right|best] place to <x>[?|]",
            "[Place to|A place to] <x>[?|]",
            "[My aunt|Tom|My friend] wants to <x>. Where [is that|is the place for it|can that be done][?|]",
            "[Which way, I want to|I am in town and want to] <x>. [Which|What] place do I look for[?|]",
        ],
        held=["Can you tell me where I can <x>?", "Which place should I visit to <x>?", "Where would people go when they <x>?"],
        short=["<Answer>.", "The <answer>."],
        long=["The <answer> is the place to <x>.", "The <answer>. There you can <x>.", "The <answer>, since that is where people <x>."],
        tail=["It is open on most days.", "You will find it in many towns.", "Take a friend along.", "Ask on the way if you get lost."],
    ),
    Category(
        "capitals",
        _facts("x", _CAPITALS),
        ask=[
            "[What is|What's|Tell me|Do you know|Say|Please tell me|Name] the capital [of|city of] <x>[?|.|]",
            "[Which|What] city is the capital of <x>[?|]",
            "[The capital of|Capital of|capital city of] <x>[?|]",
            "<x> has [which|what] [city as its|] capital[?|]",
            "[I am going to|I travel to|We fly to] <x>. What is [its|the] capital[ called|][?|]",
            "[What is the|Which is the] [main|most important|capital] city of <x>[?|]",
            "[From which|In which] city is <x> [ruled|governed][?|]",
            "[How is|What name has] the capital of <x>[ called|][?|]",
            "[On a map|On the map], which city is [marked as|] the capital of <x>[?|]",
        ],
        held=[
            "Can you tell me the capital of <x>?",
            "What do they call the capital of <x>?",
            "I forgot the capital of <x>. Which city is it?",
        ],
        short=["<Answer>."],
        long=["<Answer> is the capital of <x>.", "<Answer>. It is the capital city of <x>.", "<Answer>, the capital of <x>."],
        tail=["Many people live there.", "It is a city worth a visit.", "You can find it on any map.", "Trains and roads lead there."],
    ),
    Category(
        "origins",
        _facts("x", _MAKERS),
        ask=[
            "[What|Which thing] [is|are] <x> made [of|from|by][?|]",
            "Where [does|do] <x> come from[?|]",
            "[Tell me|Say|Please tell me|Do you know] where <x> [comes from|is from|is made from][.|?|]",
            "[What|Who] [gives us|makes|brings us] <x>[?|]",
            "[From what|Out of what] do we get <x>[?|]",
            "[I wonder|I ask myself] [where|from what] <x> [comes|is made][ from|][.|?|]",
            "[What is|What's] the [source|origin] of <x>[?|]",
            "[How do|How did] we get <x>[? From what?|? What gives it?]",
            "[If you want|To have] <x>, what do you need [first|][?|]",
        ],
        held=["Can you tell me where <x> comes from?", "What do we get <x> from?", "What does one need to make <x>?"],
        short=["<Answer>.", "From <answer>."],
        long=["<Answer> give us <x>.", "<Answer>. That is where <x> comes from.", "From <answer>. So we get <x>."],
        tail=[
            "People have known it for a long time.",
            "It takes some work to get it.",
            "You can find it in many homes.",
            "It is a simple thing.",
        ],
    ),
    Category(
        "calendar",
        _after(_DAYS, "day") + _after(_MONTHS, "month"),
        ask=[
            "[What|Which] <kind> [comes|is|follows] [after|right after] <x>[?|]",
            "[Tell me|Say|Please tell me|Do you know|Name] the <kind> [after|that follows|that comes after] <x>[.|?|]",
            "[What is|What's] the [next <kind>|<kind>] after <x>[?|]",
            "[If|When] [it is|this <kind> is] <x>[ now|], what is the next <kind>[?|]",
            "[It is|Now it is] <x>. [Which|What] <kind> [comes|is] next[?|]",
            "[After|Right after] <x> comes [which|what] <kind>[?|]",
            "<x> is over[.|,] [which|what] <kind> [starts|comes|is it][ now|][?|]",
            "[The <kind> after|Next <kind> after] <x>[?|]",
            "[Who or what|What] follows <x>[ in the calendar|][?|]",
        ],
        held=["Can you tell me which <kind> comes after <x>?", "What <kind> will it be after <x>?", "<x> ends. What is the next <kind>?"],
        short=["<Answer>."],
        long=["<Answer> comes after <x>.", "<Answer> is the <kind> after <x>.", "<Answer>. It follows right after <x>."],
        tail=[
            "The order is always the same.",
            "A calendar on the wall shows it.",
            "Then the next <kind> comes, and so on.",
            "Time goes on like that.",
        ],
    ),
]
