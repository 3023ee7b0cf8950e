"""What calls cost: by the model's counts and the owner's prices, and no price is made up."""

import json
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.cost import (
    KINDS,
    MAX_KINDS,
    MAX_MODELS,
    MAX_PRICE,
    OTHER,
    Budget,
    Ledger,
    PriceError,
    Rates,
    Spent,
    read_prices,
    seconds_to_midnight,
    tokens_of,
)
from relay.gemini.events import Usage

MODEL = "gemini-3.8-live"
TODAY, TOMORROW = date(2026, 11, 22), date(2026, 11, 23)
RATES = {"input": {"text": 0.75, "audio": 3.0}, "output": {"text": 4.5, "audio": 12.0}}
FILE = {"currency": "USD", "models": {MODEL: RATES}}
PRICES = read_prices(json.dumps(FILE), toml=False)
TURN = Usage(
    prompt=500,
    response=42,
    thoughts=10,
    total=552,
    prompt_by_modality={"TEXT": 300, "AUDIO": 200},
    response_by_modality={"AUDIO": 42},
)
TURN_MONEY = (300 * 0.75 + 200 * 3.0 + 42 * 12.0 + 10 * 4.5) / 1e6
counts = st.dictionaries(st.sampled_from(["TEXT", "AUDIO", "IMAGE", "VIDEO", "SMELL"]), st.integers(0, 10**9))


def test_prices_are_the_same_in_toml_and_in_json() -> None:
    toml = f'''
        currency = "USD"
        [models."{MODEL}".input]
        text = 0.75
        audio = 3
        [models."{MODEL}".output]
        text = 4.5
        audio = 12.0
    '''
    assert read_prices(toml, toml=True) == PRICES
    assert PRICES.models[MODEL] == Rates({"text": 0.75, "audio": 3.0}, {"text": 4.5, "audio": 12.0})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[]", "currency and models"),
        (json.dumps({**FILE, "discount": 1}), "nothing else"),
        (json.dumps({**FILE, "currency": "dollars"}), "three capital letters"),
        (json.dumps({"models": FILE["models"]}), "three capital letters"),
        (json.dumps({**FILE, "models": {}}), "must name 1 to"),
        (json.dumps({**FILE, "models": dict.fromkeys(map(str, range(MAX_MODELS + 1)), RATES)}), "must name 1 to"),
        (json.dumps({**FILE, "models": {MODEL: {"input": {"text": 1}}}}), "a table output"),
        (json.dumps({**FILE, "models": {MODEL: {**RATES, "cached": {}}}}), "nothing else"),
        (json.dumps({**FILE, "models": {MODEL: {**RATES, "input": {}}}}), "some of text, audio"),
        (json.dumps({**FILE, "models": {MODEL: {**RATES, "input": {"sound": 1}}}}), "some of text, audio"),
    ],
)
def test_what_is_no_list_of_prices_is_refused_in_words(text: str, words: str) -> None:
    with pytest.raises(PriceError, match=words):
        read_prices(text, toml=False)


@pytest.mark.parametrize("price", [-1, MAX_PRICE + 1, True, "3", None, float("nan"), float("inf")])
def test_a_price_is_a_number_that_can_be_one(price: Any) -> None:
    text = json.dumps({"currency": "EUR", "models": {MODEL: {**RATES, "input": {"audio": price}}}})
    with pytest.raises(PriceError, match=f"audio of '{MODEL}' from 0 to"):
        read_prices(text, toml=False)


def test_a_file_of_the_other_kind_is_said_to_be_none() -> None:
    with pytest.raises(PriceError, match="is not TOML"):
        read_prices(json.dumps(FILE), toml=True)


def test_a_turn_costs_what_its_kinds_cost() -> None:
    assert PRICES.models[MODEL].of(TURN) == pytest.approx(TURN_MONEY)


def test_what_has_no_price_of_its_own_costs_as_much_as_the_dearest() -> None:
    rates = PRICES.models[MODEL]
    assert rates.of(Usage(prompt=100, prompt_by_modality={"VIDEO": 100})) == pytest.approx(100 * 3.0 / 1e6)
    assert rates.of(Usage(prompt=100, prompt_by_modality={"TEXT": 75})) == pytest.approx((75 * 0.75 + 25 * 3.0) / 1e6)
    assert rates.of(Usage(response=10)) == pytest.approx(10 * 12.0 / 1e6)
    assert Rates({"audio": 1.0}, {"audio": 2.0}).of(Usage(thoughts=10)) == pytest.approx(10 * 2.0 / 1e6)


@given(st.builds(Usage, prompt=st.integers(0, 10**9), response=st.integers(0, 10**9), prompt_by_modality=counts,
                 response_by_modality=counts, thoughts=st.integers(0, 10**9)))  # fmt: skip
def test_no_turn_costs_less_than_nothing_or_more_than_the_dearest_kind(usage: Usage) -> None:
    heard = max(usage.prompt, sum(usage.prompt_by_modality.values()))
    said = max(usage.response, sum(usage.response_by_modality.values())) + usage.thoughts
    assert 0 <= PRICES.models[MODEL].of(usage) <= (heard * 3.0 + said * 12.0) / 1e6 * 1.000001


def test_the_sum_is_over_every_turn_and_not_the_last_one() -> None:
    spent = Spent()
    for _ in range(3):
        spent.add(TURN, 0.5)
    assert (spent.turns, spent.tokens, spent.thoughts, spent.money) == (3, 3 * 552, 30, 1.5)
    assert spent.input == {"text": 900, "audio": 600}
    assert spent.output == {"audio": 126}


def test_tokens_of_no_kind_are_counted_too() -> None:
    spent = Spent()
    spent.add(Usage(prompt=30, prompt_by_modality={"TEXT": 5}, response=7))
    assert spent.input == {"text": 5, OTHER: 25}
    assert spent.output == {OTHER: 7}
    assert tokens_of(Usage(prompt=30, response=7, total=40)) == 40
    assert tokens_of(Usage(prompt=30, response=7, thoughts=5)) == 42


def test_a_model_that_invents_kinds_fills_no_memory() -> None:
    spent = Spent()
    for n in range(1000):
        spent.add(Usage(prompt=1, prompt_by_modality={f"KIND{n}": 1}))
    assert len(spent.input) <= MAX_KINDS + 1
    assert sum(spent.input.values()) == 1000


def test_two_sums_make_one() -> None:
    one, other = Spent(), Spent()
    one.add(TURN, 1.0)
    other.add(TURN, 2.0)
    other.include(one)
    assert (other.turns, other.tokens, other.money, other.input["audio"]) == (2, 2 * 552, 3.0, 400)


def test_without_prices_tokens_are_counted_and_no_money() -> None:
    ledger, call = Ledger(model=MODEL), Spent()
    assert ledger.enter(call, TURN, TODAY) is None
    assert (ledger.currency, ledger.total.money, ledger.total.tokens, call.tokens) == ("", 0.0, 552, 552)


def test_a_call_ends_with_the_turn_that_exceeds_its_budget_and_others_go_on() -> None:
    ledger, call, another = Ledger(PRICES, model=MODEL, per_call=Budget(2.5 * TURN_MONEY)), Spent(), Spent()
    assert [ledger.enter(call, TURN, TODAY) for _ in range(3)] == [None, None, "budget-call"]
    assert ledger.enter(another, TURN, TODAY) is None
    assert not ledger.used_up(TODAY)
    assert ledger.total.turns == 4


def test_a_budget_may_be_one_of_tokens() -> None:
    ledger, call = Ledger(per_call=Budget(2 * 552, tokens=True)), Spent()
    assert [ledger.enter(call, TURN, TODAY) for _ in range(3)] == [None, None, "budget-call"]


def test_the_days_budget_is_all_calls_together_and_new_every_day() -> None:
    ledger = Ledger(PRICES, model=MODEL, per_day=Budget(1.5 * TURN_MONEY))
    assert ledger.enter(Spent(), TURN, TODAY) is None
    assert not ledger.used_up(TODAY)
    assert ledger.enter(Spent(), TURN, TODAY) == "budget-day"
    assert ledger.used_up(TODAY)
    assert ledger.spent(TODAY).turns == 2
    assert not ledger.used_up(TOMORROW)
    assert ledger.enter(Spent(), TURN, TOMORROW) is None
    assert (ledger.spent(TOMORROW).turns, ledger.total.turns) == (1, 3)


def test_another_model_has_its_own_rates_or_none() -> None:
    ledger, call = Ledger(PRICES, model=MODEL), Spent()
    ledger.enter(call, TURN, TODAY, "some-other-model")
    assert (call.tokens, call.money) == (552, 0.0)
    ledger.enter(call, TURN, TODAY, MODEL)
    assert call.money == pytest.approx(TURN_MONEY)


def test_midnight_is_never_now() -> None:
    assert seconds_to_midnight(datetime(2026, 11, 22, 23, 59, 59, 1)) == 1
    assert seconds_to_midnight(datetime(2026, 11, 22)) == 86_400
    assert seconds_to_midnight(datetime(2026, 12, 31, 12, tzinfo=UTC)) == 43_200


@given(st.datetimes(min_value=datetime(2000, 1, 1), max_value=datetime(2100, 1, 1)))
def test_after_that_many_seconds_it_is_another_day(now: datetime) -> None:
    seconds = seconds_to_midnight(now)
    assert (now + timedelta(seconds=seconds)).date() > now.date()
    assert (now + timedelta(seconds=seconds - 1)).date() == now.date() or seconds == 1


def test_every_kind_has_a_name_that_a_file_can_hold() -> None:
    assert all(kind == kind.lower() and kind.isalpha() for kind in KINDS)
