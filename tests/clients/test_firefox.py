"""The official JavaScript SDK in Firefox, with a media manager of the app's own: camera and screen sections, too.

What it hears is read from its statistics: without a sound card it starts no AudioContext.
"""

import re
from pathlib import Path
from typing import Any

from tests.clients.app import START
from tests.clients.firefox import firefox, own_address
from tests.clients.way import Way, way
from tests.running import running

LOUD = 1e-4  # energy of what was heard, in full-scale squares times seconds: a tenth of a second of a quiet voice
HEARD = """peers.at(-1).getStats().then(reports => {
  for (const report of reports.values())
    if (report.type === 'inbound-rtp' && report.kind === 'audio')
      return {samples: report.totalSamplesReceived, energy: report.totalAudioEnergy};
})"""


async def test_firefox_is_connected_hears_the_model_and_is_heard(bundles: Path, tmp_path: Path) -> None:
    async with (
        running("--greeting", "Say hello.", "--ice-address", own_address()) as relay,
        way(relay.base, bundles) as between,
        firefox(tmp_path) as fox,
    ):
        await fox.open(f"{between.base}/app/index.html?app=kit")
        await fox.until("window.loaded")
        await fox.run("kit.make({media: 'screen', client: {enableMic: false}})")
        outcome = await fox.run(f"kit.attempt(() => ({START})(kit.client))")
        assert "error" not in outcome, outcome
        assert await fox.run("kit.client.state") == "ready"
        _offered_as_firefox_does(between)
        await fox.until("!!document.querySelector('audio')")
        heard: dict[str, Any] = await fox.until(f"{HEARD}.then(heard => heard?.energy > {LOUD} && heard)")
        assert heard["samples"] > 0
        await fox.until("kit.log.some(([, name]) => name === 'botOutput')")
        assert not any(relay.model.received_pcm()), "the microphone is off"
        await fox.run("kit.client.enableMic(true)")
        await fox.until("kit.log.some(([, name]) => name === 'userStartedSpeaking')")
        assert any(relay.model.received_pcm()), "the model hears its tone"
        await fox.run("kit.client.enableMic(false)")
        await fox.run("kit.client.sendText('typed in Firefox')")
        await fox.until(
            "kit.log.some(([, name, [data]]) => name === 'botOutput' && data.text.includes('typed in Firefox'))"
        )


def _offered_as_firefox_does(between: Way) -> None:
    """What this test is about: three media sections, the second video on port 0, and empty candidates."""
    sdp = between.offers[0].body["sdp"]
    assert len(re.findall("^m=(audio|video)", sdp, flags=re.MULTILINE)) == 3
    assert re.search("^m=video 0 ", sdp, flags=re.MULTILINE)
    assert "a=bundle-only" in sdp
    answered = between.offers[0].answer["sdp"]
    assert re.findall(r"^m=(\w+)", answered, flags=re.MULTILINE) == re.findall(r"^m=(\w+)", sdp, flags=re.MULTILINE)
    assert between.patches
    assert all(patch.status == 200 for patch in between.patches)
