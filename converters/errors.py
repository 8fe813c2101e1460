"""What a conversion can fail with; edgetune turns it into its own error."""


class ConversionError(Exception):
    """A model, adapter or type that cannot be converted: what happened, why, and what to do next."""

    def __init__(self, title: str, cause: str = "", remedy: str = "") -> None:
        super().__init__(title)
        self.title = title
        self.cause = cause
        self.remedy = remedy
