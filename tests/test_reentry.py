"""The way back and the transcript, over a real loopback socket: open to the secret, and to nothing else."""

import logging
from typing import Any

import pytest

from signaling import tickets
from signaling.registry import State
from tests.house import Answered, Visit, refused, visiting

BEFORE = [{"role": "user", "text": "Hello."}, {"role": "assistant", "text": "Hi!"}]


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


async def begin(visit: Visit, *, offer: bool = True) -> tuple[str, str]:
    """A call's id and its secret."""
    told = (await visit.ask("POST", "/start", json={})).json
    if offer:
        assert (await visit.offer(f"/sessions/{told['sessionId']}/api/offer")).status == 200
        visit.calls[-1].connections = 1
        visit.calls[-1].said = ["What <is> it?"]
    return told["sessionId"], told["resumeSecret"]


async def read(visit: Visit, id: str, secret: str, query: str = "", **headers: str) -> Answered:
    return await visit.ask("GET", f"/sessions/{id}/transcript{query}", headers={**bearer(secret), **headers})


async def forget(visit: Visit, id: str, secret: str) -> Answered:
    return await visit.ask("DELETE", f"/sessions/{id}", headers=bearer(secret) if secret else {})


async def resume(visit: Visit, id: str, secret: str) -> Answered:
    return await visit.ask("POST", f"/sessions/{id}/resume", headers=bearer(secret))


# -- the way back ---------------------------------------------------------------------------------------------


async def test_a_page_comes_back_after_a_reload_with_a_new_connection_in_the_same_call() -> None:
    async with visiting() as visit:
        id, secret = await begin(visit)
        told = await resume(visit, id, secret)
        assert told.status == 200
        assert told.headers["Cache-Control"] == "no-store"
        assert told.json.keys() == {"sessionId", "fileUploadUrl", "resumeSecret", "pc_id"}
        assert told.json["sessionId"] == id
        assert told.json["resumeSecret"] != secret
        path = f"/sessions/{id}/api/offer"
        assert (await visit.offer(path, pc_id=told.json["pc_id"], restart_pc=True)).status == 200
        assert [(known, restart) for _, known, restart in visit.calls[0].offers] == [(None, False), (f"pc-{id}+", True)]
        assert len(visit.calls) == 1
        for where in (path, "/api/offer"):  # the connection of the page before can be kept, and not replaced
            refused(await visit.offer(where, pc_id=f"pc-{id}", restart_pc=True), 410, "unknown-peer")


async def test_a_page_that_was_reloaded_before_its_offer_comes_back_too() -> None:
    async with visiting("--ice-servers", "stun:stun.example.org") as visit:
        id, secret = await begin(visit, offer=False)
        told = (await resume(visit, id, secret)).json
        assert told["pc_id"] is None
        assert told["iceConfig"] == {"iceServers": [{"urls": ["stun:stun.example.org"]}]}
        assert (await visit.offer(f"/sessions/{id}/api/offer")).status == 200


async def test_the_old_secret_is_good_until_the_new_one_is_used() -> None:
    async with visiting() as visit:
        id, old = await begin(visit)
        lost = (await resume(visit, id, old)).json["resumeSecret"]
        new = (await resume(visit, id, old)).json["resumeSecret"]
        refused(await read(visit, id, lost), 404, "unknown-session")
        assert (await read(visit, id, old)).status == 200
        assert (await read(visit, id, new)).status == 200
        refused(await read(visit, id, old), 404, "unknown-session")
        refused(await resume(visit, id, old), 404, "unknown-session")


async def test_the_old_secret_is_good_until_the_peer_of_the_new_one_connects() -> None:
    async with visiting() as visit:
        id, old = await begin(visit)
        new = (await resume(visit, id, old)).json["resumeSecret"]
        assert (await read(visit, id, old)).status == 200
        visit.calls[0].connections += 1
        refused(await read(visit, id, old), 404, "unknown-session")
        assert (await read(visit, id, new)).status == 200


async def test_a_call_that_is_over_cannot_be_resumed_and_only_its_secret_is_told_so() -> None:
    async with visiting() as visit:
        id, secret = await begin(visit)
        await visit.calls[0].close()
        refused(await resume(visit, id, secret), 410, "unknown-peer")
        refused(await resume(visit, id, "wrong"), 404, "unknown-session")


# -- who is not let in ----------------------------------------------------------------------------------------


async def answers(visit: Visit, id: str, headers: dict[str, str]) -> list[tuple[int, bytes, dict[str, Any]]]:
    told = []
    for method, path in [("GET", "transcript"), ("GET", "transcript?format=no-such"), ("POST", "resume")]:
        answered = await visit.ask(method, f"/sessions/{id}/{path}", headers=headers)
        told.append((answered.status, answered.body, {k: v for k, v in answered.headers.items() if k != "Date"}))
    return told


async def test_wrong_old_stolen_and_missing_secrets_get_the_same_404_as_an_unknown_session() -> None:
    async with visiting() as visit:
        id, old = await begin(visit)
        _, stolen = await begin(visit)
        new = (await resume(visit, id, old)).json["resumeSecret"]
        assert (await read(visit, id, new)).status == 200
        promised, _ = await begin(visit, offer=False)
        over, _ = await begin(visit)
        await visit.calls[-1].close()
        unknown = await answers(visit, "no-such", bearer("wrong"))
        assert {status for status, *_ in unknown} == {404}
        assert b"unknown-session" in unknown[0][1]
        for one in (id, promised, over):
            for headers in (bearer("wrong"), bearer(old), bearer(stolen), bearer(""), {}, {"Authorization": "Basic x"}):
                assert await answers(visit, one, headers) == unknown
        assert (await read(visit, id, new)).status == 200  # none of that has spoilt it


async def test_an_unknown_session_costs_the_same_work_as_a_wrong_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tickets.Ticket] = []
    plain = tickets.Ticket.admits

    def admits(self: tickets.Ticket, secret: str, peers: int = 0) -> bool:
        asked.append(self)
        return plain(self, secret, peers)

    monkeypatch.setattr(tickets.Ticket, "admits", admits)
    async with visiting() as visit:
        id, _ = await begin(visit)
        for one in (id, "no-such"):
            refused(await read(visit, one, "wrong"), 404, "unknown-session")
        assert len(asked) == 2
        assert asked[1] is tickets.NOBODYS


async def test_a_refused_return_is_no_refused_call() -> None:
    codes: list[str] = []
    async with visiting(refused=codes.append) as visit:
        await resume(visit, "no-such", "wrong")
        assert codes == []


async def test_no_log_holds_a_secret_or_a_word(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with visiting() as visit:
        id, secret = await begin(visit)
        new = (await resume(visit, id, secret)).json["resumeSecret"]
        await read(visit, id, new)
        await read(visit, id, secret)
        await visit.calls[0].close()
        await read(visit, id, new, "?format=vtt")
    assert not [record for record in caplog.records if any(x in str(record.__dict__) for x in (secret, new, "is it?"))]


async def test_neither_needs_the_access_token() -> None:
    async with visiting("--access-token", "a-token-of-some-length") as visit:
        told = (await visit.ask("POST", "/start", json={}, headers=bearer("a-token-of-some-length"))).json
        id, secret = told["sessionId"], told["resumeSecret"]
        assert (await read(visit, id, secret)).status == 200
        assert (await resume(visit, id, secret)).status == 200
        refused(await read(visit, id, "a-token-of-some-length"), 404, "unknown-session")


# -- the transcript -------------------------------------------------------------------------------------------

FORMATS = {
    "json": ("application/json", '"text": "What <is> it?"'),
    "text": ("text/plain", "[00:01] User: What <is> it?\n"),
    "vtt": ("text/vtt", "00:00:01.000 --> 00:00:02.000\n<v User>What &lt;is&gt; it?\n"),
}


@pytest.mark.parametrize("format", FORMATS)
async def test_a_transcript_comes_in_three_formats(format: str) -> None:
    mime, words = FORMATS[format]
    async with visiting() as visit:
        id, secret = await begin(visit)
        for told in (
            await read(visit, id, secret, f"?format={format}", Accept="image/png"),
            await read(visit, id, secret, Accept=f"image/png, {mime.upper()};q=0.9, application/json;q=0.1"),
        ):
            assert told.headers["Content-Type"] == f"{mime}; charset=utf-8"
            assert words in told.body.decode()


@pytest.mark.parametrize("accept", ["*/*", "text/html", ""])
async def test_whoever_asks_for_no_format_gets_json(accept: str) -> None:
    async with visiting() as visit:
        id, secret = await begin(visit)
        told = await read(visit, id, secret, Accept=accept)
        assert (told.json["over"], told.json["turns"][0]["text"]) == (False, "What <is> it?")


async def test_an_unknown_format_is_refused_in_words() -> None:
    async with visiting() as visit:
        id, secret = await begin(visit)
        refused(await read(visit, id, secret, "?format=pdf"), 400, "bad-request")


async def test_a_transcript_outlives_its_call_and_is_gone_when_the_call_is_forgotten() -> None:
    async with visiting() as visit:
        id, secret = await begin(visit)
        await visit.calls[0].close()
        told = await read(visit, id, secret)
        assert (told.status, told.json["over"], told.json["turns"][0]["text"]) == (200, True, "What <is> it?")
        assert (await forget(visit, id, secret)).status == 200
        refused(await read(visit, id, secret), 404, "unknown-session")
        assert (await forget(visit, id, secret)).status == 200  # again


async def test_a_call_that_ends_by_delete_with_its_secret_leaves_nothing() -> None:
    async with visiting() as visit:
        id, secret = await begin(visit)
        assert (await forget(visit, id, secret)).status == 200
        refused(await read(visit, id, secret), 404, "unknown-session")
        assert len(visit.registry.shelf) == 0


@pytest.mark.parametrize("wrong", ["", "wrong"])
async def test_whoever_knows_a_session_by_its_id_alone_ends_the_call_and_deletes_nothing(wrong: str) -> None:
    async with visiting() as visit:
        id, secret = await begin(visit)
        for _ in range(2):
            assert (await forget(visit, id, wrong)).status == 200
            assert visit.calls[0].closed
            assert (await read(visit, id, secret)).json["turns"]
        assert (await forget(visit, id, secret)).status == 200
        refused(await read(visit, id, secret), 404, "unknown-session")


async def test_of_a_call_that_nobody_can_read_of_nothing_is_kept() -> None:
    async with visiting() as visit:
        assert (await visit.offer("/api/offer")).status == 200  # without `/start` there is no secret
        await visit.calls[0].close()
        assert len(visit.registry.shelf) == 0


# -- prior turns ----------------------------------------------------------------------------------------------


async def test_prior_turns_reach_the_call_and_stand_in_the_transcript_before_it_begins() -> None:
    async with visiting() as visit:
        told = (await visit.ask("POST", "/start", json={"history": BEFORE})).json
        id = told["sessionId"]
        turns = (await read(visit, id, told["resumeSecret"])).json["turns"]
        assert turns == [{**turn, "how": "prior"} for turn in BEFORE]
        assert (await visit.offer(f"/sessions/{id}/api/offer")).status == 200
        assert [turn.text for turn in visit.calls[0].request.prior] == ["Hello.", "Hi!"]


async def test_malformed_prior_turns_are_refused_with_the_index_and_promise_nothing() -> None:
    async with visiting() as visit:
        answered = await visit.ask("POST", "/start", json={"history": [*BEFORE, BEFORE[1]]})
        refused(answered, 400, "bad-request")
        assert "history[2]" in answered.json["info"]
        assert "history[2]" in answered.json["detail"]
        assert visit.registry.count(State.RESERVED) == 0
