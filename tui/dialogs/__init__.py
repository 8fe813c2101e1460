"""Dialogs: what a screen asks or shows in front of itself."""
