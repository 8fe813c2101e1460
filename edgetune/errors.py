"""The one kind of error a user can cause, with what happened, why, and what to do next."""


class EdgeTuneError(Exception):
    """An error to show to the user.

    title: what happened, in a few words. cause: why. remedy: what to do next.
    exit_code: 1 when the work failed, 2 when the input was wrong.
    """

    def __init__(self, title: str, cause: str = "", remedy: str = "", exit_code: int = 1) -> None:
        super().__init__(title)
        self.title, self.cause, self.remedy, self.exit_code = title, cause, remedy, exit_code

    def as_dict(self) -> dict[str, str | int]:
        """The error as the command line's JSON shows it; one about a file's contents also has kind, file and line."""
        where = {name: getattr(self, name) for name in ("kind", "file", "line") if hasattr(self, name)}
        return {"title": self.title, "cause": self.cause, "remedy": self.remedy, **where}


class InputError(EdgeTuneError):
    """Wrong input: a missing file, an unknown value, data that cannot be read."""

    def __init__(self, title: str, cause: str = "", remedy: str = "") -> None:
        super().__init__(title, cause, remedy, exit_code=2)
