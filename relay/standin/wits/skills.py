"""What it can do: each skill a pattern on a line's plain words, and what is said to it. Pure."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from relay.standin.wits import capitals, numbers, sums
from relay.standin.wits.answer import MAX_KEPT, MAX_NAME, Answer, Notes
from relay.standin.wits.line import Line

MAX_COUNT: Final = 20  # numbers counted in a row
MAX_SPELLED: Final = 24  # letters of a word that is spelled

JOKES: Final = (
    ("Why did the bicycle fall over?", "Because it was two tired."),
    ("What do you call a bear without teeth?", "A gummy bear."),
    ("Why do bees have sticky hair?", "Because they use honeycombs."),
    ("What do you call a sleeping bull?", "A bulldozer."),
    ("Why did the scarecrow win a prize?", "He was outstanding in his field."),
    ("What lies at the bottom of the sea and shivers?", "A nervous wreck."),
    ("How does the moon cut its hair?", "Eclipse it."),
    ("Why was the math book sad?", "It had too many problems."),
)
HELP: Final = (
    "I tell the time and the date.",
    "I do sums, count, and spell words.",
    "I know capitals and a few jokes, repeat what you say, and remember your name.",
    "You can interrupt me whenever you like.",
)
MYSELF: Final = (
    "I am the local voice of this relay.",
    "I have good ears and a few simple rules, but no large model.",
    "I need no internet.",
)
NO_WORLD: Final = ("I cannot know that.", "I have no internet and see nothing of the world outside.")
ENGLISH_ONLY: Final = ("I am sorry, I understand and speak only English.",)


@dataclass(frozen=True, slots=True)
class Situation:
    """What a skill may know besides the words."""

    line: Line
    notes: Notes
    now: datetime
    seed: int

    def say(self, *sentences: str) -> Answer:
        return Answer(sentences, notes=self.notes)


Skill = Callable[["re.Match[str]", Situation], "Answer | None"]


def _fixed(*sentences: str) -> Skill:
    return lambda _, here: here.say(*sentences)


# --- time ------------------------------------------------------------------------------------------------------


def _time(_: "re.Match[str]", here: Situation) -> Answer:
    hour, half = here.now.hour % 12 or 12, "AM" if here.now.hour < 12 else "PM"
    return here.say(f"It is {hour}:{here.now.minute:02d} {half}.")


def _time_elsewhere(_: "re.Match[str]", here: Situation) -> Answer:
    return here.say("I only know the clock of the computer that I run on.", *_time(_, here).sentences)


def _date(_: "re.Match[str]", here: Situation) -> Answer:
    named = re.search(r"\b(?:tomorrow|yesterday)", here.line.plain)
    word = named[0] if named else "today"
    day = here.now + timedelta(days={"tomorrow": 1, "yesterday": -1}.get(word, 0))
    verb = {"tomorrow": "will be", "yesterday": "was"}.get(word, "is")
    return here.say(f"{word.capitalize()} {verb} {day:%A}, {day:%B} {day.day}, {day.year}.")


def _month(found: "re.Match[str]", here: Situation) -> Answer:
    return here.say(f"It is {here.now:%B}." if found["what"] == "month" else f"It is the year {here.now.year}.")


# --- numbers and letters ---------------------------------------------------------------------------------------


def _sum(here: Situation) -> Answer | None:
    found = sums.find(here.line.words)
    if found is None:
        return None
    if found.by_zero:
        return here.say("Nothing can be divided by zero.")
    if found.value is None:
        return here.say("That number is too large for me to say.")
    said = found.said[0].upper() + found.said[1:]
    return here.say(f"{said} is {numbers.phrase(found.value)}.")


def _count(found: "re.Match[str]", here: Situation) -> Answer:
    words = found["rest"].split()
    down = bool({"down", "backward", "backwards", "reverse", "countdown"} & {*words, found["word"]})
    given = [int(value) for _, _, value in numbers.every(words) if value.denominator == 1][:2]
    if len(given) == 2:
        first, last = sorted(given, reverse=True) if down else given
    elif not given:
        first, last = (10, 1) if down else (1, 10)
    elif down and words[:2] == ["down", "to"] and given[0] < 10:
        first, last = 10, given[0]
    elif down:
        first, last = given[0], 0 if "from" in words else 1
    else:
        first, last = (given[0], given[0] + 9) if "from" in words else (1, given[0])
    if not all(0 <= n < 100 for n in (first, last)):
        return here.say("I only count up to ninety-nine.")
    step = 1 if last >= first else -1
    counted = list(range(first, last + step, step))
    said = ", ".join(numbers.word(n) for n in counted[:MAX_COUNT]).capitalize() + "."
    return here.say(said, "And so on.") if len(counted) > MAX_COUNT else here.say(said)


def _spell(found: "re.Match[str]", here: Situation) -> Answer | None:
    word = "".join(c for c in here.line.group(found, "word") if c.isalpha())
    if not word or not word.isascii():
        return None
    if len(word) > MAX_SPELLED:
        return here.say("That word is too long for me to spell.")
    return here.say(f"{word.capitalize()} is spelled {', '.join(word.upper())}.")


def _letters(found: "re.Match[str]", here: Situation) -> Answer:
    word = here.line.group(found, "word")
    count = sum(c.isalpha() for c in word)
    return here.say(f"{word.capitalize()} has {count} letter{'s' * (count != 1)}.")


# --- what was said ---------------------------------------------------------------------------------------------


def _repeat_after(found: "re.Match[str]", here: Situation) -> Answer | None:
    said = here.line.group(found, "what")[:MAX_KEPT].strip(" ,:;\"'")
    return here.say(said[0].upper() + said[1:] + ("" if said[-1] in ".!?" else ".")) if said else None


def _again(_: "re.Match[str]", here: Situation) -> Answer:
    return here.say(*(here.notes.said or ("I have not said anything yet.",)))


def _heard(_: "re.Match[str]", here: Situation) -> Answer:
    return here.say(f"You said: {here.notes.heard}" if here.notes.heard else "You have not said anything yet.")


def _named(found: "re.Match[str]", here: Situation) -> Answer | None:
    name = re.split(r"[,;:!?]|(?<!\bDr)(?<!\bMr)(?<!\bMs)(?<!\bMrs)\.", here.line.group(found, "name"))[0]
    words = re.split(r" (?:and|but|so|what|by|from|i|how)\b", name, maxsplit=1, flags=re.IGNORECASE)[0].split()[:3]
    name = " ".join(w[0].upper() + w[1:] for w in words)[:MAX_NAME].strip()
    if not name or not name[0].isalpha() or name.lower().split()[0] in _NO_NAMES:
        return None
    return replace(here.say(f"Nice to meet you, {name}."), notes=replace(here.notes, name=name))


_NO_NAMES: Final = frozenset(
    {"not", "a", "an", "the", "what", "very", "so", "just", "is", "and", "but", "later", "back", "sure"}
)


def _named_briefly(found: "re.Match[str]", here: Situation) -> Answer | None:
    """ "I am Anna", but not "I am tired": a name is written with a capital."""
    name = here.line.group(found, "name")
    capitals_ = all(word[0].isupper() and word[1:].islower() for word in name.split())
    return _named(found, here) if capitals_ and not name.startswith(_PEOPLES) else None


_PEOPLES: Final = ("American", "English", "British", "German", "French", "Spanish", "Italian", "Japanese", "Chinese")


def _my_name(_: "re.Match[str]", here: Situation) -> Answer:
    name = here.notes.name
    return here.say(f"Your name is {name}." if name else "You have not told me your name yet.")


def _forget(_: "re.Match[str]", here: Situation) -> Answer:
    return replace(here.say("I have forgotten it."), notes=replace(here.notes, name=""))


# --- the world -------------------------------------------------------------------------------------------------


def _capital(found: "re.Match[str]", here: Situation) -> Answer:
    known = capitals.of(found["country"])
    if known is None:
        return here.say(f"I do not know the capital of {here.line.group(found, 'country')}.")
    return here.say(f"The capital of {known[0]} is {known[1]}.")


def _country(found: "re.Match[str]", here: Situation) -> Answer | None:
    known = capitals.country(found["city"])
    return known and here.say(f"{known[0]} is the capital of {known[1]}.")


def _joke(_: "re.Match[str]", here: Situation) -> Answer:
    joke = JOKES[(here.seed + here.notes.jokes) % len(JOKES)]
    return replace(here.say(*joke), notes=replace(here.notes, jokes=here.notes.jokes + 1))


# --- courtesy --------------------------------------------------------------------------------------------------


def _hello(_: "re.Match[str]", here: Situation) -> Answer:
    name = f", {here.notes.name}" if here.notes.name else ""
    return here.say(f"Hello{name}!", "What can I do for you?")


def _goodbye(_: "re.Match[str]", here: Situation) -> Answer:
    name = f", {here.notes.name}" if here.notes.name else ""
    return replace(here.say(f"Goodbye{name}.", "It was nice talking to you."), ends=True)


_TABLE: Final[tuple[tuple[str, Skill], ...]] = (
    (r"(?:please )?(?:repeat after me|repeat the words?|repeat(?: the)? following|echo|say the words?|say after me)"
     r"(?P<what> .+)", _repeat_after),
    (r"(?:stop|be quiet|quiet|silence|enough|that is enough|shut up|cancel|never mind|wait|hold on|pause|hush)"
     r"(?: (?:it|that|talking|speaking|now|there|a moment|a minute|a second|please|stop))*", _fixed("Okay.")),
    (r"(?:good ?bye|bye|bye bye|see you|see you (?:later|soon|tomorrow)|good night|farewell|hang up|end the call"
     r"|that is all|talk to you later|i have to go)(?: (?:now|then|bye|goodbye))*", _goodbye),
    (r".*\b(?P<word>count|countdown)\b(?P<rest>.*)", _count),
    (r".*\b(?:s?pell|spelled|spelling of|spelt)(?: the (?:word|name))?(?: (?:is|for|of))?(?P<word> \S+)", _spell),
    (r".*\bhow is(?P<word> \S+) (?:spelled|spelt)", _spell),
    (r".*\bhow many letters\b.*?(?P<word> \S+)(?: have| has)?", _letters),
    (r"(?:repeat|repeat (?:that|it|yourself)|say (?:that|it) again|say again|again|once more|pardon(?: me)?|sorry"
     r"|what did you (?:just )?say|come again|what)(?: (?:again|once more))?", _again),
    (r"(?:what did i (?:just )?say|what have i said|did you understand me)(?: .*)?", _heard),
    (r".*\b(?:what is|what was|do you (?:know|remember)|remember|say) my name\b.*|my name|who am i", _my_name),
    (r".*\bforget (?:my name|me)\b.*", _forget),
    (r".*\bmy name is(?P<name> .+)", _named),
    (r"(?:you (?:can|may) )?call me(?P<name> .+)", _named),
    (r"(?:i am|this is)(?P<name> \S+(?: \S+)?)", _named_briefly),
    (r".*\bcapital(?: city)? (?:of|in|for) (?!what\b|which\b)(?P<country>.+?)(?: is)?", _capital),
    (r"(?:what|which) (?:is )?(?P<country>\S+(?: \S+){0,3}?)(?:is|s) capital(?: city)?", _capital),
    (r"(?:what|which) country (?:is|has) (?P<city>.+?) (?:the|as its|as the|as) capital(?: of)?", _country),
    (r"(?P<city>.+?) is the capital of (?:what|which)(?: country)?", _country),
    (r".*\b(?:what time|the time|time is it)\b.*\b(?:in|at) (?!the moment\b).+", _time_elsewhere),
    (r".*\b(?:what is the (?:current )?time|time is it|what time|what the time|how late is it)\b.*"
     r"|(?:the )?(?:current |exact )?time", _time),
    (r"(?:(?:what|which)(?! an? )|is (?:it|today))\b.*\b(?:date|day|weekday)\b.*"
     r"|(?:the |todays )?(?:date|day)(?: today)?|what is (?:today|tomorrow)", _date),
    (r".*\b(?:what|which) (?:is the )?(?P<what>month|year)\b.*", _month),
    (r".*\b(?:jokes?|make me laugh|something funny|another one)\b.*", _joke),
    (r".*\b(?:what can you do|what do you (?:know|do)|help|how can you help|what are you able to do"
     r"|what can i (?:ask|say)|what else can you do|your (?:skills|abilities))\b.*", _fixed(*HELP)),
    (r".*\b(?:who|what) are you\b.*|who (?:made|built|wrote) you.*"
     r"|.*\b(?:your name|about yourself|introduce yourself)\b.*"
     r"|are you (?:a |an )?(?:real|human|person|robot|machine|computer|ai|a i|gemini|artificial|there a person).*",
     _fixed(*MYSELF)),
    (r".*\b(?:can you hear me|do you hear me|are you there|is (?:anyone|anybody|somebody) there|am i audible"
     r"|does this work|is this working|testing|test)\b.*", _fixed("Yes, I hear you.")),
    (r".*\b(?:do|can) you (?:speak|understand|talk)(?: \w+)?", _fixed("I understand and speak only English.")),
    (r"say(?P<what> .+)", _repeat_after),
)  # fmt: skip
_COURTESIES: Final[tuple[tuple[str, Skill], ...]] = (
    (r".*\b(?:weather|news|temperature outside|stock|traffic|president|sports?|rain|forecast)\b.*", _fixed(*NO_WORLD)),
    (r".*\b(?:thank you|thanks)\b.*", _fixed("You are welcome.")),
    (r".*\bhow are you\b.*|how is it going.*|are you (?:well|okay|fine)", _fixed("I am well, thank you.")),
    (r"(?:hello|hi|hey|good (?:morning|afternoon|evening|day)|greetings|nice to meet you|say (?:hello|hi))"
     r"(?: (?:there|again|everybody|you|to me))*", _hello),
    (r"(?:i am )?sorry(?: .*)?", _fixed("No harm done.")),
    (r"(?:yes|yeah|yep|okay|all right|alright|sure|good|great|cool|nice|wow|fine|very good|well done|perfect|i see)"
     r"(?: .{1,12})?", _fixed("All right.")),
    (r"(?:no|nope|no way|not really)(?: no)*", _fixed("All right, then not.")),
)  # fmt: skip


def _compiled(table: tuple[tuple[str, Skill], ...]) -> "tuple[tuple[re.Pattern[str], Skill], ...]":
    return tuple((re.compile(pattern), skill) for pattern, skill in table)


SKILLS: Final = _compiled(_TABLE)
COURTESIES: Final = _compiled(_COURTESIES)


def find(here: Situation) -> Answer | None:
    """What a skill answers, or None where none fits."""
    if not here.line.plain.startswith(("repeat", "say", "spell", "echo")) and (reckoned := _sum(here)):
        return reckoned
    return _first(SKILLS, here)


def courtesy(here: Situation) -> Answer | None:
    """The answer to a line that wants nothing in particular, or nothing that can be had; or None."""
    return _first(COURTESIES, here)


def _first(table: "tuple[tuple[re.Pattern[str], Skill], ...]", here: Situation) -> Answer | None:
    """Tries the line as it is, then as a request without its courtesies."""
    for line in (here.line, here.line.request()):
        seen = replace(here, line=line)
        for pattern, skill in table:
            if (match := pattern.fullmatch(line.plain)) and (answer := skill(match, seen)) is not None:
                return answer
    return None
