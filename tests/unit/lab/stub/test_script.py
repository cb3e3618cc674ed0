"""What goes wrong on demand: rules as text, and each action on a real connection."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from reconnect.lab.stub.protocol import FEATURES, HEADER, PROTOCOL_FEATURES, U64, VRING_STATE, Request
from reconnect.lab.stub.script import ACTIONS, ANY, CONNECT, CONNECT_ACTIONS, VALUED, Rule, Script, ScriptError
from tests.unit.lab.stub.conftest import Dial, Start
from tests.unit.lab.stub.frontend import FrontEnd, Stub, table


@some.composite
def rules(draw: some.DrawFn) -> Rule:
    """Any rule."""
    message = draw(some.sampled_from([CONNECT, *Request.__members__]))
    action = draw(some.sampled_from(CONNECT_ACTIONS if message == CONNECT else ACTIONS))
    value = draw(some.integers(0, 2**64 - 1)) if action in VALUED else None
    return Rule(message, action, draw(some.sampled_from([ANY, 1, 2, 99])), value, draw(some.integers(ANY, 99)))


@given(some.lists(rules()), some.booleans(), some.booleans())
def test_a_script_survives_its_text(all_rules: list[Rule], hang_up: bool, die: bool) -> None:
    """Verify: the same rules come back from the command line's words and from the file's."""
    script = Script(tuple(all_rules), hang_up, die)
    assert Script.parse(*[str(rule) for rule in all_rules], hang_up=hang_up, die=die) == script
    words = script.argv()
    assert [Rule.parse(words[i + 1]) for i, word in enumerate(words) if word == "--rule"] == all_rules


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("SET_OWNER", "is not MESSAGE"),
        ("SET_OWNRE:after-read", "unknown message 'SET_OWNRE'"),
        ("SET_OWNER:explode", "unknown action 'explode' at SET_OWNER"),
        ("CONNECT:nack", "unknown action 'nack' at CONNECT"),
        ("SET_OWNER:answer", "answer needs =VALUE"),
        ("SET_OWNER:stall=3", "stall takes no =VALUE"),
        ("SET_OWNER#0:stall", "occurrences count from 1"),
        ("SET_OWNER:delay=soon", "'soon' in 'SET_OWNER:delay=soon' is not a number"),
        ("SET_OWNER:stall@never", "is not MESSAGE"),
    ],
)
def test_a_wrong_rule_is_refused(text: str, what: str) -> None:
    """Verify: what is wrong with it."""
    with pytest.raises(ScriptError, match=what):
        Rule.parse(text)


@pytest.mark.parametrize("text", ["{", "[]", '{"rules": ["x"]}', '{"rule": []}', '{"rules": 3}'])
def test_a_wrong_file_is_refused(tmp_path: Path, text: str) -> None:
    """Verify: the file is named."""
    path = tmp_path / "script.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ScriptError, match=r"script\.json"):
        Script.load(path)


def test_a_wrong_rule_on_the_command_line_is_a_usage_error(short: Path) -> None:
    """Verify: exit code 2."""
    assert Stub(short / "s", "--rule", "SET_OWNER").process.wait(20) == 2


def test_before_read_resets(start: Start, dial: Dial) -> None:
    """Steps: the first connection is cut with GET_QUEUE_NUM unread. Verify: a reset; the second is served."""
    stub = start("--rule", "GET_QUEUE_NUM:before-read")
    front = dial(stub)
    with pytest.raises(ConnectionResetError):
        front.greet()
    stub.until("closed", by="script")
    assert not stub.of("message", name="GET_QUEUE_NUM")
    assert stub.until("triggered")["rule"] == "GET_QUEUE_NUM:before-read"
    dial(stub).greet()


def test_after_read_ends(start: Start, dial: Dial) -> None:
    """Verify: an end, not a reset, though an answer was asked for."""
    stub = start("--rule", "SET_MEM_TABLE:after-read")
    front = dial(stub)
    front.greet()
    with pytest.raises(EOFError, match="0 of 12"):
        front.tell(Request.SET_MEM_TABLE, table(), [front.memory])
    assert stub.until("closed")["by"] == "script"


def test_half_reply(start: Start, dial: Dial) -> None:
    """Verify: ten of the twenty bytes, then the end."""
    front = dial(start("--rule", "GET_FEATURES:half-reply"))
    with pytest.raises(EOFError, match="10 of 12"):
        front.ask(Request.GET_FEATURES)


@pytest.mark.parametrize(("action", "size"), [("stall", 0), ("truncate", 10)])
def test_stall_and_truncate_stay_connected(start: Start, dial: Dial, action: str, size: int) -> None:
    """Verify: nothing, or half of an answer; then silence, and no end of the connection. Others are served."""
    stub = start("--rule", f"GET_FEATURES:{action}")
    front = dial(stub)
    front.send(Request.GET_FEATURES)
    front.send(Request.GET_FEATURES)
    stub.until("triggered")
    dial(stub).greet()
    front.connection.settimeout(0.1)
    received = front.connection.recv(64) if size else b""
    assert len(received) == size
    with pytest.raises(TimeoutError):
        front.connection.recv(64)


def test_drop_fds_and_nack_refuse_but_go_on(start: Start, dial: Dial) -> None:
    """Verify: the table can't be mapped, or is not; the connection lives; a second try is good."""
    stub = start("--rule", "SET_MEM_TABLE:drop-fds", "--rule", "SET_MEM_TABLE#2:nack")
    front = dial(stub)
    front.greet()
    assert [front.tell(Request.SET_MEM_TABLE, table(), [front.memory]) for _ in range(3)] == [1, 1, 0]


def test_wrong_answers(start: Start, dial: Dial) -> None:
    """Verify: another number, another request, a short payload, no reply flag."""
    words = ["GET_FEATURES:answer=0x123", "GET_FEATURES#2:wrong-request", "GET_FEATURES#3:wrong-size"]
    stub = start(*(word for rule in [*words, "GET_FEATURES#4:wrong-flags"] for word in ("--rule", rule)))
    front = dial(stub)
    assert front.ask(Request.GET_FEATURES) == 0x123
    front.send(Request.GET_FEATURES)
    assert front.receive()[0] == Request.GET_FEATURES + 1
    front.send(Request.GET_FEATURES)
    assert len(front.receive()[1]) == 4
    front.send(Request.GET_FEATURES)
    with pytest.raises(AssertionError):
        front.receive()


def test_the_answer_of_a_rings_state_keeps_its_index(start: Start, dial: Dial) -> None:
    """Verify: GET_VRING_BASE answers with the ring that was asked for and the scripted number."""
    front = dial(start("--rule", "GET_VRING_BASE:answer=77"))
    front.greet()
    front.start()
    front.send(Request.GET_VRING_BASE, VRING_STATE.pack(1, 0))
    assert VRING_STATE.unpack(front.receive()[1]) == (1, 77)


def test_delay(start: Start, dial: Dial) -> None:
    """Verify: the answer is late by that much."""
    front = dial(start("--rule", "GET_FEATURES:delay=300"))
    began = time.monotonic()
    front.ask(Request.GET_FEATURES)
    assert time.monotonic() - began >= 0.3


def test_drip(start: Start, dial: Dial) -> None:
    """Verify: each read brings one byte, though there is room for all; the whole is the right answer."""
    front = dial(start("--rule", "GET_FEATURES:drip"))
    front.send(Request.GET_FEATURES)
    parts = [front.connection.recv(64) for _ in range(HEADER.size + U64.size)]
    assert {len(part) for part in parts} == {1}
    assert U64.unpack(b"".join(parts)[HEADER.size :])[0] == FEATURES
    assert front.ask(Request.GET_FEATURES) == FEATURES


def test_drip_to_one_who_hangs_up(start: Start, dial: Dial) -> None:
    """Verify: the stub sees the end and serves the next."""
    stub = start("--rule", "GET_FEATURES:drip")
    front = dial(stub)
    front.send(Request.GET_FEATURES)
    assert len(front.connection.recv(64)) == 1
    front.connection.close()
    assert stub.until("closed")["by"] == "front-end"
    dial(stub).greet()


def test_drip_where_nothing_is_answered(start: Start, dial: Dial) -> None:
    """Verify: the message is obeyed, and the connection goes on."""
    stub = start("--rule", "SET_OWNER:drip")
    front = dial(stub)
    front.greet()
    assert front.ask(Request.GET_FEATURES) == FEATURES
    assert stub.until("triggered")["rule"] == "SET_OWNER:drip"


@pytest.mark.parametrize("action", ["before-read", "after-read", "stall"])
def test_connect(start: Start, dial: Dial, action: str) -> None:
    """Verify: nothing is ever read of the first two connections; the third is served."""
    stub = start("--rule", f"CONNECT:{action}", "--rule", f"CONNECT:{action}@2")
    for _ in range(2):
        front = dial(stub)
        front.connection.settimeout(0.1)
        with pytest.raises(TimeoutError if action == "stall" else (EOFError, OSError)):
            front.ask(Request.GET_FEATURES)
    dial(stub).greet()


def test_any_is_each_message(start: Start, dial: Dial) -> None:
    """Verify: the rule holds three times on one connection, and not on the next."""
    stub = start("--rule", "GET_FEATURES#any:answer=5")
    front = dial(stub)
    assert [front.ask(Request.GET_FEATURES) for _ in range(3)] == [5, 5, 5]
    dial(stub).greet()


def test_any_is_each_connection(start: Start, dial: Dial) -> None:
    """Verify: the rule holds three times."""
    stub = start("--rule", "GET_QUEUE_NUM:answer=0@any")
    for _ in range(3):
        front = dial(stub)
        front.ask(Request.GET_FEATURES)
        front.send(Request.SET_PROTOCOL_FEATURES, U64.pack(PROTOCOL_FEATURES))
        assert front.ask(Request.GET_QUEUE_NUM) == 0


def test_die_kills_the_process(start: Start, dial: Dial, short: Path) -> None:
    """Verify: SIGKILL; the socket stays behind, as after every crash."""
    stub = start("--die", "--rule", "SET_OWNER:after-read")
    dial(stub).greet()
    assert stub.process.wait(20) == -signal.SIGKILL
    assert (short / "s").exists()


def test_a_script_is_loaded_while_it_runs(start: Start, dial: Dial, short: Path) -> None:
    """Steps: a connection; a script for it; a script that hangs up and cuts the next connection's second question.

    Verify: counts start over with each script; the connection after is served.
    """
    path = short / "script"
    stub = start("--script", str(path))
    front = dial(stub)
    front.greet()
    path.write_text(Script.parse("GET_FEATURES:answer=7@0").json(), encoding="utf-8")
    stub.process.send_signal(signal.SIGHUP)
    stub.until("script", 2)
    assert front.ask(Request.GET_FEATURES) == 7
    path.write_text(Script.parse("GET_FEATURES#2:after-read", hang_up=True).json(), encoding="utf-8")
    stub.process.send_signal(signal.SIGHUP)
    stub.until("closed", by="script")
    front = dial(stub)
    front.greet()
    with pytest.raises(EOFError):
        front.ask(Request.GET_FEATURES)
    dial(stub).greet()


def test_a_script_that_turns_bad_ends_it(start: Start, short: Path) -> None:
    """Verify: exit code 2: a test that would go on without its script shows nothing."""
    path = short / "script"
    path.write_text(Script.parse("GET_FEATURES:answer=7").json(), encoding="utf-8")
    stub = start("--script", str(path))
    assert FrontEnd.connect(stub.path).ask(Request.GET_FEATURES) == 7
    path.write_text("{", encoding="utf-8")
    stub.process.send_signal(signal.SIGHUP)
    assert stub.process.wait(20) == 2
