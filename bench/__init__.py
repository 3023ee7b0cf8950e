"""Measurements of the running relay, from outside it. `python -m bench --help`."""
