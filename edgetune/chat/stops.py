"""Stop strings in a stream of bytes: nothing that may turn out to be one is shown."""


class StopScanner:
    """Passes bytes on, holding back an ending that could still grow into a stop string.

    stops: the texts that end an answer; they themselves are never passed on.
    """

    def __init__(self, stops: list[str]) -> None:
        self._stops = [stop.encode("utf-8") for stop in stops if stop]
        self._held = b""
        self.stopped = False

    def feed(self, piece: bytes) -> bytes:
        """What may be shown now, after this piece came; sets `stopped` once a stop string is complete."""
        held = self._held + piece
        positions = [position for position in (held.find(stop) for stop in self._stops) if position >= 0]
        if positions:
            self.stopped, self._held = True, b""
            return held[: min(positions)]
        keep = max((_overlap(held, stop) for stop in self._stops), default=0)
        self._held = held[len(held) - keep :]
        return held[: len(held) - keep]

    def rest(self) -> bytes:
        """What was still held back when the answer ended otherwise."""
        held, self._held = self._held, b""
        return held


def _overlap(text: bytes, stop: bytes) -> int:
    """Length of the longest proper prefix of `stop` that `text` ends with."""
    return next((size for size in range(min(len(stop) - 1, len(text)), 0, -1) if text.endswith(stop[:size])), 0)
