"""Backends as the command line names them, with their options."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconnect.kit.errors import ConfigError
from reconnect.lab.backends.known import BACKENDS, BackendSpec
from reconnect.lab.backends.ovs import OvsPort, dpdk_settings
from reconnect.lab.cells import select


def test_a_name_alone_has_the_defaults() -> None:
    """Verify: no option is set; each backend's defaults are the first values."""
    assert BackendSpec.parse("ovs").options == {}
    assert BACKENDS["ovs"].defaults() == {"per-port-memory": "off"}
    assert BACKENDS["testpmd"].defaults() == {"wake": "off"}
    assert BACKENDS["stub"].defaults() == {}


def test_options_follow_a_colon() -> None:
    """Verify: they are part of the cell's backend, and so of its name; the same backend twice is one cell."""
    assert BackendSpec.parse("testpmd:wake=on").options == {"wake": "on"}
    cells = select("default", "testpmd:wake=on,testpmd,testpmd:wake=on")
    assert [(cell.backend, cell.name) for cell in cells] == [
        ("testpmd:wake=on", "default-testpmd-wake-on-crash-1"),
        ("testpmd", "default-testpmd-crash-1"),
    ]
    assert [cell.backend for cell in select("default", "all", "crash")] == ["testpmd", "ovs", "stub"]


@pytest.mark.parametrize(
    ("text", "what", "hint"),
    [
        ("osv", "unknown backend 'osv' in --backend", "did you mean 'ovs'?"),
        ("", "unknown backend '' in --backend", ""),
        ("testpmd:wakr=on", "unknown option of testpmd 'wakr' in --backend", "did you mean 'wake'?"),
        ("testpmd:", "unknown option of testpmd '' in --backend", ""),
        ("testpmd:wake=maybe", "--backend testpmd:wake=maybe: wake is off or on", "--backend testpmd:wake=on"),
        ("testpmd:wake", "--backend testpmd:wake: wake is off or on", "--backend testpmd:wake=on"),
        ("stub:wake=on", "the backend stub has no options, and 'stub:wake=on' gives one", ""),
    ],
)
def test_a_wrong_word_is_refused(text: str, what: str, hint: str) -> None:
    """Verify: what was wrong, and what was probably meant; exit code 2."""
    with pytest.raises(ConfigError) as caught:
        BackendSpec.parse(text)
    assert (caught.value.what, caught.value.exit_code) == (what, 2)
    assert hint in caught.value.hint


def test_the_port_that_listens_is_named_as_its_socket() -> None:
    """Verify: Open vSwitch makes the socket of such a port in its run folder, under the port's name."""
    assert OvsPort(Path("/r/vhost.sock"), client=False).words()[:3] == ["add-port", "br0", "vhost.sock"]
    words = OvsPort(Path("/r/vhost.sock"), client=True).words()
    assert words[-2:] == ["type=dpdkvhostuserclient", "options:vhost-server-path=/r/vhost.sock"]


def test_threads_run_where_we_may() -> None:
    """Verify: both masks name the one processor."""
    settings = dpdk_settings(5, "lab", per_port_memory=True)
    assert {"other_config:pmd-cpu-mask=0x20", "other_config:dpdk-lcore-mask=0x20"} < set(settings)
    assert "other_config:per-port-memory=true" in settings
