"""A curve that is drawn while it grows: as many points as a screen can show, however long the run."""

import math


class Curve:
    """Points (step, value) in order of steps; once there are `2 * most`, neighbours are averaged.

    A point at or before the last step replaces what comes after it: a resumed run repeats steps. Values that are not finite are not drawn.
    """

    def __init__(self, most: int = 1000) -> None:
        self.most = most
        self.steps: list[float] = []
        self.values: list[float] = []
        self._counts: list[int] = []
        self.stride = 1
        """Measurements that one point stands for."""

    def add(self, step: float, value: float | None) -> None:
        """Add a measurement."""
        # A mean that has met a NaN stays NaN.
        if value is None or not math.isfinite(value):
            return

        # A resumed run repeats the steps after its checkpoint; the later measurement counts.
        while self.steps and self.steps[-1] >= step:
            self._cut()

        # Long runs are averaged in strides, so that memory stays bounded whatever the number of steps.
        if self._counts and self._counts[-1] < self.stride:
            count = self._counts[-1]
            self.values[-1] += (value - self.values[-1]) / (count + 1)
            self.steps[-1], self._counts[-1] = step, count + 1
        else:
            self.steps.append(step)
            self.values.append(value)
            self._counts.append(1)

        # Only when the last point is full: halving takes every point for a whole stride.
        if len(self.steps) >= 2 * self.most and self._counts[-1] == self.stride:
            self._halve()

    def _cut(self) -> None:
        self.steps.pop()
        self.values.pop()
        self._counts.pop()

    def _halve(self) -> None:
        pairs = range(0, len(self.steps) - 1, 2)
        self.values = [(self.values[i] + self.values[i + 1]) / 2 for i in pairs]
        self.steps = [self.steps[i + 1] for i in pairs]
        self.stride *= 2
        self._counts = [self.stride] * len(self.steps)

    def smoothed(self, weight: float) -> list[float]:
        """The values as an exponential moving average, corrected for its start (Adam's bias correction); weight 0 leaves them alone."""
        if weight <= 0:
            return list(self.values)
        mean, result = 0.0, []
        for number, value in enumerate(self.values, 1):
            mean = weight * mean + (1 - weight) * value
            result.append(mean / (1 - weight**number))
        return result

    def __len__(self) -> int:
        return len(self.steps)
