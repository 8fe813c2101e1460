"""What is asked of the machine again and again: free memory is never that of the start, and temperatures come from the right sensor."""

from collections import namedtuple

import psutil
import pytest

from edgetune.machine import hardware

Sensor = namedtuple("Sensor", "label current high critical")


def test_free_memory_is_that_of_now(monkeypatch: pytest.MonkeyPatch) -> None:
    before = hardware.this_machine()
    memory = psutil.virtual_memory()
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory._replace(available=12345))
    assert hardware.this_machine().memory_free == 12345 != before.memory_free
    assert hardware.this_machine().memory == before.memory


def test_the_temperature_is_the_processor_s_hottest(monkeypatch: pytest.MonkeyPatch) -> None:
    sensors = {"nvme": [Sensor("", 90.0, None, None)], "k10temp": [Sensor("", 50.0, None, None), Sensor("", 61.0, None, None)]}
    monkeypatch.setattr(psutil, "sensors_temperatures", lambda: sensors, raising=False)
    assert hardware.temperature("cpu") == 61.0
    monkeypatch.setattr(psutil, "sensors_temperatures", dict, raising=False)
    assert hardware.temperature("cpu") is None
