"""The stand-in's process: it starts beside us, tells its address, goes with us, and comes back once it has lived."""

import asyncio
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from relay.agent import Agent
from relay.config import ConfigError, load
from relay.lateness import LATE_SECONDS, MIN_CALLS, OVERLOAD_SECONDS
from relay.request import CallRequest
from relay.ticker import PERIOD
from signaling import standin as home
from signaling import wanted
from signaling.model import Studio, load_agent
from signaling.standin import StandIn, StandInFailed, child_environment, command
from tests import leaks

ROOT = Path(__file__).parent.parent
KEY = "AIzaSyCANARYcanaryCANARYcanary"
SPEAKS = "print('hello'); print('listening on ws://127.0.0.1:4711', flush=True); input()"


def standin(script: str) -> StandIn:
    return StandIn((sys.executable, "-c", script))


async def until_unwell(one: StandIn) -> None:
    async with asyncio.timeout(5):
        while one.well:
            await asyncio.sleep(0.01)


async def test_it_tells_where_it_listens_and_goes_when_asked() -> None:
    one = standin(SPEAKS)
    await one.start()
    await one.ready()
    assert (one.url, one.well) == ("ws://127.0.0.1:4711", True)
    await one.close()
    await one.close()
    assert not one.well


async def test_one_that_is_not_wanted_after_all_is_gone_when_close_returns() -> None:
    before = leaks.look().children.keys()
    one = standin(SPEAKS)
    await one.start()
    (pid,) = leaks.look().children.keys() - before
    await one.close()
    assert pid not in leaks.look().children


@pytest.mark.parametrize(
    "script", ["raise SystemExit(3)", "print('nothing to say', flush=True)", "print('x' * 200_000)"]
)
async def test_one_that_dies_at_once_is_a_failed_start(script: str) -> None:
    one = standin(script)
    await one.start()
    with pytest.raises(StandInFailed):
        await one.ready()
    await one.close()


async def test_one_that_never_says_is_a_failed_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(home, "START_SECONDS", 0.1)
    one = standin("input()")
    await one.start()
    with pytest.raises(StandInFailed):
        await one.ready()
    await one.close()


async def test_one_that_will_not_go_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(home, "STOP_SECONDS", 0.2)
    one = standin(
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        + SPEAKS.replace("input()", "time.sleep(60)")
    )
    await one.start()
    await one.ready()
    async with asyncio.timeout(5):
        await one.close()


async def test_one_that_died_young_is_not_started_again() -> None:
    one = standin("print('listening on ws://127.0.0.1:4711', flush=True)")
    await one.start()
    await one.ready()
    await until_unwell(one)
    await one.close()


async def test_one_that_has_lived_is_started_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(home, "STEADY_SECONDS", 0.0)
    marks = tmp_path / "pids"
    one = standin(f"import os; open({str(marks)!r}, 'a').write(f'{{os.getpid()}}\\n'); {SPEAKS}")
    await one.start()
    await one.ready()
    os.kill(int(marks.read_text()), signal.SIGKILL)
    async with asyncio.timeout(10):
        while marks.read_text().count("\n") < 2 or not one.well:
            await asyncio.sleep(0.01)
    await one.close()


async def test_the_shipped_one_starts_and_listens() -> None:
    one = StandIn()
    await one.start()
    await one.ready()
    port = int(one.url.rpartition(":")[2])
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.close()
    await writer.wait_closed()
    await one.close()


def test_the_child_gets_no_secret_and_finds_our_packages() -> None:
    ours = {"GEMINI_API_KEY": "k", "GOOGLE_API_KEY": "k", "RELAY_ACCESS_TOKEN": "t", "PATH": "/bin", "PYTHONPATH": "/x"}
    theirs = child_environment(ours)
    assert set(theirs) == {"PATH", "PYTHONPATH"}
    first, *rest = theirs["PYTHONPATH"].split(os.pathsep)
    assert (Path(first) / "relay" / "__init__.py").is_file()
    assert rest == ["/x"]


async def test_the_studio_warms_up_once_and_names_its_tier() -> None:
    config = load(["--model", "gemini", "--gemini-url", "ws://127.0.0.1:1"], {})
    studio = Studio(config, None, None)
    assert studio.well
    assert studio.tier == ""
    assert studio.warm_up() is studio.warm_up()
    await asyncio.gather(*(studio.maker(CallRequest()) for _ in range(2)))
    assert studio.tier
    await studio.close()
    await studio.close()


async def test_a_studio_takes_no_more_calls_than_it_can_serve_in_time(caplog: pytest.LogCaptureFixture) -> None:
    studio = Studio(load(["--model", "gemini", "--gemini-url", "ws://127.0.0.1:1"], {}), None, None)
    assert (studio.overloaded(0.0, 100), studio.lateness, studio.speaking) == (False, None, 0)
    with caplog.at_level(logging.INFO):
        await studio.warm_up()
    assert f"sound takes the {studio.tier} path" in caplog.text
    assert studio.lateness is not None
    for n in range(round(OVERLOAD_SECONDS / PERIOD) + 2):
        studio.lateness.tick(2 * LATE_SECONDS, n * PERIOD)
    assert studio.overloaded(n * PERIOD, MIN_CALLS)
    assert not studio.overloaded(n * PERIOD, MIN_CALLS - 1)
    await studio.close()


async def test_a_call_is_watched_and_counted_from_its_beginning_to_its_end() -> None:
    studio = Studio(load(["--model", "gemini", "--gemini-url", "ws://127.0.0.1:1"], {}), None, None)
    closed: list[object] = []
    call = (await studio.maker(CallRequest()))("0" * 32, closed.append)
    assert list[object](studio.metrics.calls) == [call]
    async with asyncio.timeout(5):
        while not studio.lateness or not studio.lateness.histogram.count:
            await asyncio.sleep(0.01)
    await call.close()
    assert (closed, studio.metrics.calls, dict(studio.metrics.ended)) == ([call], [], {"unanswered": 1})
    await studio.close()


async def test_it_hears_how_the_voice_is(caplog: pytest.LogCaptureFixture) -> None:
    said = "The local voice lacks a package: do this."
    script = SPEAKS.replace("input()", f"print('local voice: {said}', flush=True); input()")
    one = StandIn((sys.executable, "-c", script, "--local"))
    assert one.voice == "starting"
    await one.start()
    await one.ready()
    async with asyncio.timeout(5):
        while one.voice == "starting":
            await asyncio.sleep(0.01)
    await one.close()
    assert one.voice == said
    assert said in caplog.text


@pytest.mark.parametrize("end", ["os.kill(os.getpid(), signal.SIGILL)", "os._exit(3)"])
@pytest.mark.parametrize("told", ["", "print('local voice: ready', flush=True)"])
async def test_models_that_kill_the_process_are_done_without(end: str, told: str) -> None:
    dies = f"{told or 'pass'}; time.sleep(0.1); {end}"
    script = SPEAKS.replace("input()", f"exec({dies!r} if '--local' in sys.argv else 'input()')")
    script = f"import os, signal, sys, time; {script}"
    one = StandIn((sys.executable, "-c", script, "--local", "--local-weights", "nowhere"))
    await one.start()
    await one.ready()
    await until_unwell(one)
    async with asyncio.timeout(5):
        while not one.well:
            await asyncio.sleep(0.01)
    await one.ready()
    assert one.voice.startswith("The local voice")
    assert one.voice.endswith(".")
    await one.close()


async def test_one_that_comes_back_has_its_voice_to_find_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(home, "STEADY_SECONDS", 0.0)
    before = leaks.look().children.keys()
    script = SPEAKS.replace("input()", "print('local voice: ready', flush=True); input()")
    one = StandIn((sys.executable, "-c", script, "--local"))
    await one.start()
    await one.ready()
    heard = []
    async with asyncio.timeout(5):
        while one.voice != "ready":
            await asyncio.sleep(0.01)
        (pid,) = leaks.look().children.keys() - before
        os.kill(pid, signal.SIGKILL)
        while one.voice == "ready":
            await asyncio.sleep(0)
        heard.append(one.voice)
        while one.voice != "ready":
            await asyncio.sleep(0.01)
    assert heard == ["starting"]
    await one.close()


def test_the_owner_decides_whether_it_has_a_voice(tmp_path: Path) -> None:
    assert StandIn(command(load(["--local-voice", "off"], {}))).voice == "off"
    assert command(load([], {}))[-1] == "--local"
    assert command(load(["--local-weights", str(tmp_path)], {}))[-2:] == ("--local-weights", str(tmp_path))
    with pytest.raises(ConfigError, match="must be a directory that exists"):
        load(["--local-weights", str(tmp_path / "nowhere")], {})


async def test_a_studio_whose_stand_in_is_gone_is_not_well() -> None:
    assert not Studio(load([], {}), StandIn(), None).well


WRONG_AGENTS = {
    "raises.py": "1 / 0",
    "leaves.py": "raise SystemExit(0)",
    "syntax.py": "def (",
    "empty.py": "",
    "nul.py": "a = 1\x00",
}


@pytest.mark.parametrize("name", WRONG_AGENTS)
def test_a_wrong_agent_file_is_one_sentence(name: str, tmp_path: Path) -> None:
    file = tmp_path / name
    file.write_text(WRONG_AGENTS[name])
    with pytest.raises(ConfigError) as caught:
        load_agent(file)
    said = str(caught.value)
    assert said.startswith("--agent ")
    assert name in said
    assert said.endswith(".")
    assert "\n" not in said


def test_an_agent_file_that_is_no_text_is_one_sentence(tmp_path: Path) -> None:
    file = tmp_path / "binary.py"
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError):
        load_agent(file)


def test_a_right_agent_file_is_loaded(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("from relay.agent import Agent\nagent = Agent(instructions='Be kind.', voice='Kore')\n")
    assert isinstance(agent := load_agent(file).agent, Agent)
    assert agent.voice == "Kore"


@pytest.mark.parametrize(
    ("flags", "key", "stamp"),
    [
        ([], "", ".local\n"),
        ([], KEY, ""),
        (["--model", "local"], KEY, ".local\n"),
        (["--local-weights", "."], "", ".voice\n"),
        (["--local-weights", "."], KEY, ""),
        (["--local-weights", ".", "--local-voice", "off"], "", ""),
        (["--gemini-url", "ws://127.0.0.1:9"], "", ""),
        (["--local-voice", "off"], "", ""),
        (["--no-such-flag"], "", ""),
        (["--help"], "", ""),
    ],
)
def test_the_local_voice_is_installed_only_where_it_would_speak(
    flags: list[str],
    key: str,
    stamp: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith(("RELAY_", "GEMINI_", "GOOGLE_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GEMINI_API_KEY", key)
    monkeypatch.setattr(sys, "argv", ["wanted", *flags])
    assert wanted.main() == 0
    assert capsys.readouterr().out == stamp


@pytest.mark.parametrize(("stamp", "fetched"), [(".voice", False), (".local", True)])
def test_with_models_of_ones_own_the_packages_are_installed_and_no_others_fetched(
    stamp: str, fetched: bool, tmp_path: Path
) -> None:
    command = ["make", "-n", f"VENV={tmp_path}", str(tmp_path / stamp)]
    steps = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=30).stdout
    assert "requirements-local.txt" in steps
    assert ("relay.standin.weights" in steps) == fetched
