"""The command line of the stub: see the package, and ``--help``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from reconnect.lab.stub import script as scripts
from reconnect.lab.stub.events import EventLog
from reconnect.lab.stub.peer import Peer, PeerSettings
from reconnect.lab.stub.protocol import FEATURES, PROTOCOL_FEATURES
from reconnect.lab.stub.script import Script, ScriptError
from reconnect.lab.stub.session import Offer, offered_pairs_fit

USAGE = 2


def parser() -> argparse.ArgumentParser:
    """The options."""
    words = argparse.ArgumentParser(
        prog="python -m reconnect.lab.stub",
        description="A scripted vhost-user back-end. Its log, JSON lines, goes to the standard output.",
        epilog=(scripts.__doc__ or "").split("\n\n", 1)[1],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )

    def number(text: str) -> int:
        return int(text, 0)

    words.add_argument("--socket", type=Path, required=True, help="path of the vhost-user socket")
    words.add_argument("--client", action="store_true", help="connect to it instead of listening at it")
    words.add_argument("--queue-pairs", type=int, default=1, help="queue pairs (default: 1)")
    words.add_argument("--features", type=number, default=FEATURES, help="feature bits to offer")
    words.add_argument("--protocol-features", type=number, default=PROTOCOL_FEATURES, help="the same of the protocol")
    words.add_argument("--repair", action="store_true", help="begin rings at their used index, as DPDK does")
    words.add_argument("--retry", type=float, default=0.05, help="seconds between a client's attempts (default: 0.05)")
    words.add_argument("--script", type=Path, help="file with the script; read again at SIGHUP")
    words.add_argument("--rule", action="append", default=[], help="a rule of the script, see below")
    words.add_argument("--die", action="store_true", help="a rule that closes kills the whole process instead")
    return words


def main(argv: list[str] | None = None) -> int:
    """Run the peer; returns its exit code."""
    given = parser().parse_args(argv)
    try:
        if given.script and given.script.exists():
            script = Script.load(given.script)
        else:
            script = Script.parse(*given.rule, die=given.die)
        offer = Offer(given.features, given.protocol_features, given.queue_pairs, given.repair)
        if not offered_pairs_fit(offer):
            raise ScriptError(f"{given.queue_pairs} queue pairs don't go with these features")
        Peer(PeerSettings(given.socket, given.client, offer, given.script, given.retry), script, EventLog(1)).run()
    except (ScriptError, OSError) as error:
        print(f"stub: {error}", file=sys.stderr)
        return USAGE
    return 0


if __name__ == "__main__":
    sys.exit(main())
