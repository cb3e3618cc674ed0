"""The probe that runs in the guest: its source and its init, and what reads its lines on the host."""

from __future__ import annotations

from pathlib import Path

SOURCE = Path(__file__).with_name("probe.c")
INIT = Path(__file__).with_name("init.sh")
