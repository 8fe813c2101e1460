"""This machine: its hardware and what to use of it, sleep prevention, memory handed back."""
