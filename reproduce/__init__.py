"""Runs the notebooks headless, judges what they left, and reports it. Imports neither torch nor matplotlib."""
