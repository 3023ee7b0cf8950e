"""What the local voice can think of, without a model of language: plain rules, the same answer every time.

`wits.Wits` answers a line of text; every other room here knows one kind of thing. None of it waits, and none of it
has a clock: what time it is, is asked of a function that is given.
"""
