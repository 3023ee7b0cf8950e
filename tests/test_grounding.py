"""What an answer rests on: told as far as it makes sense, and never worth a turn."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.gemini.events import Grounding, Passage, Source, TurnComplete
from relay.gemini.grounding import MAX_ADDRESS, MAX_PASSAGES, MAX_RENDERED, MAX_SOURCES, read
from relay.gemini.reading import read as read_message
from relay.rtvi import encode
from relay.turns import Turns

METADATA: dict[str, Any] = {
    "webSearchQueries": ["weather oslo"],
    "searchEntryPoint": {"renderedContent": "<div>oslo</div>"},
    "groundingChunks": [
        {"web": {"uri": "https://a.example/", "title": "a.example"}},
        {"web": {"uri": "https://b.example/x", "title": "b.example"}},
    ],
    "groundingSupports": [
        {"segment": {"text": "It is 4 degrees."}, "groundingChunkIndices": [0, 1], "confidenceScores": [0.9, 0.5]},
        {"segment": {"startIndex": 17, "text": "It snows."}, "groundingChunkIndices": [1]},
    ],
}


def test_each_source_has_the_passages_that_rest_on_it() -> None:
    four, snow = Passage("It is 4 degrees.", (0.9, 0.5)), Passage("It snows.")
    assert read(METADATA) == Grounding(
        "It is 4 degrees. It snows.",
        (
            Source("https://a.example/", "a.example", (four,)),
            Source("https://b.example/x", "b.example", (four, snow)),
        ),
        "<div>oslo</div>",
    )


def test_it_comes_before_the_end_of_its_turn() -> None:
    events = read_message(json.dumps({"serverContent": {"groundingMetadata": METADATA, "turnComplete": True}}))
    assert [type(event) for event in events] == [Grounding, TurnComplete]


@pytest.mark.parametrize("metadata", [None, 7, [], {}, {"groundingChunks": [], "webSearchQueries": ["x"]},
                                      {"groundingChunks": [{"retrievedContext": {}}]}])  # fmt: skip
def test_an_answer_that_rests_on_nothing_says_nothing(metadata: object) -> None:
    assert read(metadata) is None
    assert read_message(json.dumps({"serverContent": {"groundingMetadata": metadata, "turnComplete": True}})) == [
        TurnComplete()
    ]


@pytest.mark.parametrize(
    "address", ["javascript:alert(1)", "data:text/html,x", "", "//a.example", "https://" + "x" * MAX_ADDRESS, 7, None]
)
def test_what_is_no_address_of_a_page_is_left_out_and_the_others_keep_their_passages(address: object) -> None:
    first = {"web": {"uri": address, "title": "no"}}
    found = read(METADATA | {"groundingChunks": [first, METADATA["groundingChunks"][1]]})
    assert found is not None
    (source,) = found.sources
    assert (source.address, len(source.passages)) == ("https://b.example/x", 2)


def test_there_is_no_more_of_it_than_fits_a_message() -> None:
    web = {"uri": "https://a.example/".ljust(MAX_ADDRESS, "x"), "title": "x" * 10_000}
    support = {"segment": {"text": "x" * 10_000}, "confidenceScores": [1 / 3] * 1000}
    metadata = {
        "groundingChunks": [{"web": web}] * 1000,
        "groundingSupports": [support | {"groundingChunkIndices": list(range(1000))}] * 1000,
        "searchEntryPoint": {"renderedContent": "x" * MAX_RENDERED},
    }
    found = read(metadata)
    assert found is not None
    assert len(found.sources) == MAX_SOURCES
    assert max(len(source.passages) for source in found.sources) == MAX_PASSAGES
    (message,) = Turns(epoch=0.0).model_event(found, 0, 0.0)
    assert len(encode(message)) < 64 * 1024
    metadata["searchEntryPoint"] = {"renderedContent": "x" * (MAX_RENDERED + 1)}
    cut = read(metadata)
    assert cut is not None
    assert cut.rendered == "", "half of it would be no HTML"


def test_no_repr_of_it_holds_what_was_said() -> None:
    assert "degrees" not in repr(read(METADATA))
    assert "example" not in repr(read(METADATA))


KEYS = st.sampled_from(
    [
        *("searchEntryPoint", "renderedContent", "groundingChunks", "web", "uri", "title"),
        *("groundingSupports", "segment", "text", "groundingChunkIndices", "confidenceScores"),
    ]
)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just("https://a.example/")
TREES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4))


@settings(max_examples=200, deadline=None)
@given(TREES)
def test_whatever_comes_is_read_and_can_be_written_down(tree: object) -> None:
    found = read(tree)
    if found is not None:
        assert isinstance(found, Grounding)
        "".join([found.answer, found.rendered, *(source.title for source in found.sources)]).encode()
