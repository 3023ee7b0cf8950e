"""The browser that the other tests rely on: its microphone speaks the recorded sentence, from the start, each time."""

from playwright.async_api import Page

LISTEN = """async () => {
  const stream = await navigator.mediaDevices.getUserMedia({ audio: true });
  const audio = new AudioContext();
  await audio.resume();
  const meter = audio.createAnalyser();
  audio.createMediaStreamSource(stream).connect(meter);
  const frame = new Float32Array(meter.fftSize);
  const loud = [];
  const start = performance.now();
  while (performance.now() - start < 3000) {
    await new Promise((done) => setTimeout(done, 20));
    meter.getFloatTimeDomainData(frame);
    const power = frame.reduce((sum, x) => sum + x * x, 0) / frame.length;
    if (power > 1e-4) loud.push(performance.now() - start);
  }
  for (const track of stream.getTracks()) track.stop();
  await audio.close();
  return loud;
}"""


async def test_each_stream_hears_the_sentence_from_its_start(talker: Page) -> None:
    await talker.route("**/*", lambda route: route.fulfill(body="<p>listening</p>", content_type="text/html"))
    await talker.goto("http://localhost/")  # a microphone is for secure places only
    for _ in range(2):
        loud = await talker.evaluate(LISTEN)
        assert len(loud) > 20, "there is no sentence"
        assert 500 < loud[0] < 1600, "the sentence starts after its second of silence"
