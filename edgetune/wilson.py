"""How sure a share is that was counted on few cases."""

import math

Z95 = 1.959963984540054
"""The 97.5th percentile of the standard normal distribution: 95 % lie within as many standard deviations of the mean."""


def wilson(hits: float, count: float, z: float = Z95) -> tuple[float, float]:
    """The interval of a share by Wilson (1927): as honest for few cases and for shares near 0 or 1. (0, 1) where nothing was counted."""
    if count == 0:
        return 0.0, 1.0
    share = hits / count
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    return max(0.0, middle - half), min(1.0, middle + half)
