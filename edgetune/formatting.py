"""How sizes, times, counts and shares are written, everywhere that a person reads them."""


def format_size(size: float) -> str:
    """A size in bytes, in powers of 1024: 1.5 MiB."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(size) < 1024 or unit == "GiB":
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    raise AssertionError("unreachable")


def format_duration(seconds: float | None) -> str:
    """A time in seconds: 12 s, 3 min 05 s, 2 h 14 min; a dash where it is not known."""
    if seconds is None:
        return "-"
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60:02d} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60:02d} min"


def format_number(value: float | None, digits: int = 3) -> str:
    """A measured figure with so many digits after the point; a dash where there is none."""
    return "-" if value is None else f"{value:.{digits}f}"


def format_count(value: float) -> str:
    """A count with thousands separators; a fraction only where there is one."""
    return f"{value:,.0f}" if value == round(value) else f"{value:,.1f}"


def format_counted(value: int, noun: str, plural: str = "") -> str:
    """A count with its noun."""
    return f"{format_count(value)} {noun if value == 1 else plural or noun + 's'}"


def format_share(part: float, whole: float = 1) -> str:
    """A part of a whole in percent, which is 0% and 100% only where it is none and all."""
    percent = 100 * part / whole if whole else 0.0
    if 0 < percent < 0.1:
        return "<0.1%"
    if 99.9 < percent < 100:
        return ">99.9%"
    return f"{percent:.0f}%" if percent in (0, 100) or 10 <= percent < 99 else f"{percent:.1f}%"
