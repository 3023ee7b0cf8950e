"""What the browser says of its tracks: the microphone is heard, and camera and screen are shown, while they are on.

It says so once, at the beginning, and whenever it changes; not again on a new connection.
"""

from collections.abc import Callable
from typing import Final

from relay.glances import Glances
from relay.microphone import Microphone
from relay.uplink import Uplink

MICROPHONE: Final = 0  # 1 is the camera, 2 the screen


class Tracks:
    """One browser's. `watch` is told of camera and screen; `end_stream` is called where the user's turn ends."""

    def __init__(self, uplink: Uplink, watch: Callable[[int, bool], None], end_stream: Callable[[], None]) -> None:
        self.status: dict[int, bool] = {}  # the last word on each
        self.microphone = Microphone()
        self._uplink = uplink
        self._watch = watch
        self._end_stream = end_stream
        self._glances = Glances()
        self._begun = False
        self._listening = False

    def begin(self) -> None:
        """The call begins: the microphone is on, unless the browser said otherwise."""
        self._begun = True
        if self.status.get(MICROPHONE, True):
            self._uplink.open()

    def model_ready(self) -> None:
        """The model listens, and has what was said until now."""
        self._listening = True
        if self._uplink.seconds_sent and not self.status.get(MICROPHONE, True):
            self._end_stream()

    def switch(self, track: int, enabled: bool) -> None:
        """The browser says that a track is on, or off."""
        was, self.status[track] = self.status.get(track, True), enabled
        if track == MICROPHONE:
            self.microphone.switched()
        if track != MICROPHONE:
            self._watch(track, enabled)
        elif self._begun and enabled:
            self._uplink.open()
        elif self._begun:
            told = self._uplink.stall.ended
            self._uplink.shut()
            if was and self._listening and not told:
                self._end_stream()

    def microphone_dead(self, now: float, path_at: float) -> float | None:
        """For how long nothing was heard of a microphone that is on, if that is to be told now."""
        if not (self._begun and self.status.get(MICROPHONE, True)):
            return None
        uplink = self._uplink
        return self.microphone.poll(now, packets=uplink.packets, sounded_at=uplink.sounded_at, path_at=path_at)

    def forget_pictures(self) -> None:
        """Another client is there: its camera and screen are off until it says otherwise."""
        for track in [track for track in self.status if track != MICROPHONE]:
            del self.status[track]

    def shows(self, track: int, now: float) -> bool:
        """Whether the model is shown what this track shows now."""
        return self.status.get(track, False) and self._glances.admit(track, now)
