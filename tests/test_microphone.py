"""A microphone that is said to be on, looked at once a second, in virtual time."""

from relay.microphone import SILENT_SECONDS, STOPPED_SECONDS, Death, Microphone


class Watched:
    """One microphone: fifty packets a second while it `sends`, with sound in them while it is `loud`."""

    def __init__(self) -> None:
        self.microphone = Microphone()
        self.now = self.path_at = 100.0
        self.sounded_at = float("-inf")
        self.packets = 0
        self.told: list[float] = []

    def live(self, seconds: float, *, sends: bool = True, loud: bool = True, path: bool = True) -> None:
        for _ in range(round(seconds)):
            self.now += 1.0
            self.packets += 50 * sends
            if sends and loud:
                self.sounded_at = self.now
            if path:
                self.path_at = self.now
            told = self.microphone.poll(
                self.now, packets=self.packets, sounded_at=self.sounded_at, path_at=self.path_at
            )
            self.told += [told] if told is not None else []

    @property
    def deaths(self) -> dict[Death, int]:
        return {death: count for death, count in self.microphone.deaths.items() if count}


def test_one_that_stops_in_mid_call_is_told_once_and_again_when_it_was_heard_meanwhile() -> None:
    watched = Watched()
    watched.live(10)
    watched.live(STOPPED_SECONDS - 1, sends=False)
    assert watched.told == []
    watched.live(60, sends=False)
    assert watched.told == [STOPPED_SECONDS]
    watched.live(5)
    watched.live(60, sends=False)
    assert watched.told == [STOPPED_SECONDS] * 2
    assert watched.deaths == {Death.STOPPED: 2}


def test_one_that_was_never_heard_is_nobodys_loss() -> None:
    watched = Watched()
    watched.live(120, sends=False)
    assert watched.told == []


def test_a_dark_network_is_not_the_microphones_fault() -> None:
    watched = Watched()
    watched.live(10)
    watched.live(60, sends=False, path=False)
    watched.live(10)
    assert watched.told == []


def test_nothing_but_digital_silence_is_told_once_until_there_is_sound() -> None:
    watched = Watched()
    watched.live(SILENT_SECONDS, loud=False)
    assert watched.told == []
    watched.live(60, loud=False)
    assert watched.told == [SILENT_SECONDS]
    watched.live(1)
    watched.live(SILENT_SECONDS - 1, loud=False)
    assert watched.told == [SILENT_SECONDS]
    watched.live(60, loud=False)
    assert watched.told == [SILENT_SECONDS] * 2
    assert watched.deaths == {Death.SILENT: 2}


def test_silence_of_a_dark_network_does_not_count_as_the_microphones() -> None:
    watched = Watched()
    watched.live(5)
    watched.live(SILENT_SECONDS, sends=False, path=False)
    watched.live(SILENT_SECONDS - 1, loud=False)
    assert watched.told == []


def test_of_one_that_was_switched_nothing_is_expected_yet() -> None:
    watched = Watched()
    watched.live(10)
    watched.microphone.switched()
    watched.live(60, sends=False)
    assert watched.told == []
    watched.microphone.left()
    assert watched.deaths == {Death.LEFT: 1}
