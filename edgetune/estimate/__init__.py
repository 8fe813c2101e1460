"""Memory, disk, time and speed, predicted before anything starts."""
