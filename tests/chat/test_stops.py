"""Nothing that may become a stop string is shown, and nothing else is lost."""

import random

from edgetune.chat.stops import StopScanner


def test_any_cut_of_a_text_gives_the_text_before_the_first_stop() -> None:
    rng = random.Random(0)
    for _ in range(2000):
        text = bytes(rng.choices(b"ab\n", k=rng.randrange(1, 30)))
        stops = ["".join(rng.choices("ab\n", k=rng.randrange(1, 5))) for _ in range(rng.randrange(3))]
        scanner, shown, at = StopScanner(stops), b"", 0
        while at < len(text) and not scanner.stopped:
            size = rng.randrange(1, 4)
            shown += scanner.feed(text[at : at + size])
            at += size
        shown += scanner.rest()
        # What was fed up to the stop decides: a longer stop may begin earlier but be complete only later.
        ends = [text.find(stop.encode()) + len(stop) for stop in stops if stop.encode() in text]
        if not ends:
            assert shown == text and not scanner.stopped
        else:
            seen = text[:at]
            assert scanner.stopped and shown == seen[: min(found for stop in stops if (found := seen.find(stop.encode())) >= 0)]
