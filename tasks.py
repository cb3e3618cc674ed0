"""The tasks of ``./inv``. Each parses its words, calls one function of the package, and turns our errors into exits."""

from __future__ import annotations

import functools
import json
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from invoke.collection import Collection
from invoke.context import Context
from invoke.exceptions import Exit
from invoke.tasks import task

from reconnect.jobs import tables
from reconnect.kit import disk
from reconnect.kit.console import err, say
from reconnect.kit.errors import INTERRUPTED, ConfigError, HostError, ReconnectError
from reconnect.project import config as configuration
from reconnect.project import settings
from reconnect.project.config import Component, Config
from reconnect.project.workspace import ROOT, Workspace


def ours(body: Callable[..., None]) -> Callable[..., None]:
    """Turn the errors of the package into invoke's exits, in this one place."""

    @functools.wraps(body)
    def guarded(context: Context, *args: Any, **kwargs: Any) -> None:
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as nohup(1) has it
            signal.signal(signal.SIGHUP, signal.default_int_handler)
        try:
            try:
                body(context, *args, **kwargs)
            except OSError as error:
                raise disk.explained(error) or error from error
        except ReconnectError as error:
            err.print(f"error: {error}", style="red", markup=False)
            raise Exit(code=error.exit_code) from error
        except KeyboardInterrupt as error:
            err.print("interrupted: everything that was started has been ended", markup=False)
            raise Exit(code=INTERRUPTED) from error

    return guarded


def _workspace() -> Workspace:
    return Workspace(ROOT, settings.load())


def _config(workspace: Workspace) -> Config:
    return configuration.load(workspace.stacks, workspace.patches)


def _components(workspace: Workspace, config: Config, component: str, stack: str) -> list[Component]:
    """What ``--component`` or ``--stack`` name; both take several words with commas between, a stack also ``all``."""
    from reconnect.toolchain.choice import choose

    if component and stack:
        raise ConfigError("--component and --stack exclude each other", hint="give one of them")
    if component:
        return [config.component(name) for name in component.split(",")]
    if stack == "all":
        return list(config.components.values())
    choice = choose(workspace, config, stack or "auto")
    say(f"stack {choice.stack.name}: {choice.why}")
    return [config.component(name) for name in choice.stack.components]


@task
@ours
def doctor(_: Context) -> None:
    """What this machine can run, what is missing, and the command that mends it."""
    from reconnect.jobs.doctor import BAD, examine

    findings = examine(_workspace())
    tables.doctor(findings)
    if missing := [f for f in findings if f.state == BAD]:
        raise HostError(
            f"{len(missing)} of {len(findings)} checks failed", hint="\n".join(f.mend for f in missing if f.mend)
        )


@task(help={"offline": "do not ask the origins whether they are there"})
@ours
def status(_: Context, offline: bool = False) -> None:
    """A table: component, origin, fetched, patched, built, last verdict."""
    from reconnect.toolchain.status import status as status_of

    workspace = _workspace()
    config = _config(workspace)
    rows = [status_of(workspace, config, c, ask_origins=not offline) for c in config.components.values()]
    tables.status(rows, workspace.results)


@task(
    help={
        "component": "one or more components, with commas between",
        "stack": "a stack, auto or all (default: auto)",
        "refresh": "look for a newer revision of Debian packages",
    }
)
@ours
def fetch(_: Context, component: str = "", stack: str = "", refresh: bool = False) -> None:
    """Bring pinned sources (and the packages of the guest and of Open vSwitch) into the cache."""
    from reconnect.toolchain.fetching import fetch_all
    from reconnect.toolchain.guestpackages import fetch as fetch_guest
    from reconnect.toolchain.switchpackages import fetch as fetch_switch

    workspace = _workspace()
    config = _config(workspace)
    wanted = _components(workspace, config, component, stack)
    for fetched in fetch_all(workspace, wanted, guest=None if component else config.guest, refresh=refresh):
        say(f"{fetched.component.name}: {fetched.version} in the cache, from {fetched.origin}")
    if not component:
        debs = fetch_guest(workspace, config.guest, refresh=refresh)
        say(f"guest: {debs.kernel.name}, {debs.busybox.name}")
        for switch in config.switches.values():
            packages = fetch_switch(workspace, switch, refresh=refresh)
            say(f"switch {switch.name}: {', '.join(deb.name for deb in packages)}")


@task(
    help={
        "component": "one or more components, with commas between",
        "stack": "a stack, auto or all (default: auto)",
        "check": "lint the series of all components (or of those named), without their sources",
    }
)
@ours
def patch(_: Context, component: str = "", stack: str = "", check: bool = False) -> None:
    """Apply the series to the fetched sources."""
    from reconnect.toolchain import building, fetching, linting

    workspace = _workspace()
    config = _config(workspace)
    if check:
        chosen = _components(workspace, config, component, stack or ("" if component else "all"))
        linting.check([workspace.patches / c.series for c in chosen])
        return
    wanted = _components(workspace, config, component, stack)
    fetching.require_cached(workspace, wanted)
    for chosen_component in wanted:
        patched = building.patch(workspace, chosen_component)
        for variant, commit in patched.applied.commits.items():
            say(f"{chosen_component.name} {variant}: {commit}")


@task(
    help={
        "component": "one or more components, with commas between",
        "stack": "a stack, auto or all (default: auto)",
        "sanitize": "with AddressSanitizer, beside the ordinary builds; of a stack: those components that have one",
    }
)
@ours
def build(_: Context, component: str = "", stack: str = "", sanitize: bool = False) -> None:
    """Fetch, patch, configure, compile and install components below build/install/."""
    from reconnect.toolchain import building, fetching
    from reconnect.toolchain.workbench import ORDINARY, sanitized

    workspace = _workspace()
    config = _config(workspace)
    wanted = _components(workspace, config, component, stack)
    if sanitize and not component:
        wanted = [chosen for chosen in wanted if chosen.sanitize]
    flavours = [sanitized(chosen) if sanitize else ORDINARY for chosen in wanted]
    fetching.require_cached(workspace, wanted)
    for chosen, flavour in zip(wanted, flavours, strict=True):
        for built in building.build(workspace, chosen, flavour).values():
            say(f"{chosen.name} {built.variant}{flavour.suffix}: {os.path.relpath(built.product)}")


@task(
    name="test-reconnect",
    help={
        "stack": "a stack or auto (default: auto)",
        "scheme": "schemes with commas between, or all (default: all)",
        "backend": "backends with commas between: testpmd, ovs, stub, or all; options after a colon: testpmd:wake=on, "
        "ovs:per-port-memory=on (default: testpmd)",
        "fault": "faults with commas between, or all; with the stub also matrix or entries of it (default: crash)",
        "repeat": "how often each cell is run (default: 1)",
        "neighbour": "permanent: the guest knows its peer's address; arp: it must ask again (default: permanent)",
        "accel": "tcg or kvm (default: tcg)",
        "launcher": "qemu, libvirt, attach (libvirt, the interface attached after the boot), all "
        "(default: qemu; for policy libvirt)",
        "sanitize": "run a QEMU with AddressSanitizer: what it reports fails the cell",
        "shard": "I/N: just part I of N of the cells, for several machines; see report --merge (default: all)",
        "list": "print the cells and the seconds that they are expected to take, as JSON; run nothing",
    },
)
@ours
def test_reconnect(
    _: Context,
    stack: str = "auto",
    scheme: str = "",
    backend: str = "",
    fault: str = "",
    repeat: int = 1,
    neighbour: str = "permanent",
    accel: str = "tcg",
    launcher: str = "",
    sanitize: bool = False,
    shard: str = "",
    list: bool = False,  # the name of the option
) -> None:
    """The main job: build what is missing, crash the switch under real guests, print and write what came of it."""
    from reconnect.jobs import main as mainjob

    request = mainjob.Request(stack, scheme, backend, fault, repeat, neighbour, accel, launcher, sanitize, shard)
    if list:
        print(json.dumps(mainjob.listed(request), indent=1))
        return
    workspace = _workspace()
    mainjob.run(workspace, _config(workspace), request)


@task(
    help={
        "run": "a run's id, its folder or its results.json (default: the latest)",
        "compare": "another run, whose figures stand beside",
        "merge": "a shard's run, once for each shard: they become one run, if they are the whole of one plan",
    },
    iterable=["merge"],
)
@ours
def report(_: Context, merge: list[str], run: str = "", compare: str = "") -> None:
    """The page of a run, report.html, with junit.xml and the table; beside another run where one is named."""
    from reconnect.jobs import report as reporting

    reporting.run(_workspace(), run, compare, merge)


@task(
    name="test-upstream",
    help={
        "component": "one or more components, with commas between",
        "stack": "a stack, auto or all (default: auto)",
        "only": "shell patterns over names of tests, with commas between: just these",
    },
)
@ours
def test_upstream(_: Context, component: str = "", stack: str = "", only: str = "") -> None:
    """The upstream programs' own tests, patched and unpatched: what the patches break is told from what was broken."""
    from reconnect.toolchain import fetching, upstream

    workspace = _workspace()
    config = _config(workspace)
    wanted = _components(workspace, config, component, stack)
    fetching.require_cached(workspace, wanted)
    upstream.check(workspace, wanted, only)


@task(name="test-series", help={"component": "the component whose series is to be proven"})
@ours
def test_series(_: Context, component: str) -> None:
    """Compile and run a component after each patch of its series: whoever bisects finds no broken step."""
    from reconnect.jobs import series as seriesjob
    from reconnect.toolchain import fetching

    workspace = _workspace()
    config = _config(workspace)
    chosen = config.component(component)
    fetching.require_cached(workspace, [chosen])
    seriesjob.run(workspace, config, chosen)


@task(
    help={
        "only": "a path or a pytest expression: run just these tests, without the linters",
        "quick": "leave out the tests that need a guest or a compiler",
    }
)
@ours
def test(_: Context, only: str = "", quick: bool = False) -> None:
    """The project's own checks: ruff, mypy, the series' lint, and all tests, with real builds and real guests."""
    from reconnect.jobs import selftest

    selftest.run(ROOT, only, quick=quick)


@task(
    help={
        "engine": "podman, buildah or docker (default: the first that works here)",
        "base": "a reference, or mmdebstrap (default: Debian 12 slim by digest; without a registry mmdebstrap)",
        "no-cache": "build each step again",
        "smoke": "then run doctor and one cell per scheme of debian-12 inside",
        "volume": "with --smoke: the folder or named volume that holds caches and built programs",
    }
)
@ours
def image(
    _: Context, engine: str = "", base: str = "", no_cache: bool = False, smoke: bool = False, volume: str = ""
) -> None:
    """Build the container image for CI: docs/container.md."""
    from reconnect.ship import image as images
    from reconnect.ship import smoke as smoking

    workspace = _workspace()
    built = images.build(workspace, _config(workspace), images.Request(engine, base, no_cache))
    if smoke:
        say(f"results: {os.path.relpath(smoking.run(workspace, built, volume))}")


@task(help={"cache": "the cache outside of the checkout too (only one that we marked as ours)"})
@ours
def clean(_: Context, cache: bool = False) -> None:
    """Remove what is generated below build/."""
    from reconnect.jobs import cleaning

    workspace = _workspace()
    cleaning.clean(workspace, cache=cache)


namespace = Collection(
    *(doctor, status, fetch, patch, build, image, clean),
    *(test_reconnect, test_upstream, test_series, test, report),
)
namespace.configure({"run": {"in_stream": False}})

if __name__ == "__main__":
    sys.exit("run ./inv, or invoke inside the .venv")
