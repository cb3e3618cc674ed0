"""What runs in the guest: the probe, its init, the agent that takes orders; and what talks to them on the host."""

from __future__ import annotations

from pathlib import Path

SOURCE = Path(__file__).with_name("probe.c")
INIT = Path(__file__).with_name("init.sh")
AGENT = Path(__file__).with_name("agent.sh")
