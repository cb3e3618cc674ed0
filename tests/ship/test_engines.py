"""Which engine is taken, and what is said where none can work."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from reconnect.kit.errors import ConfigError, HostError
from reconnect.ship import engines
from reconnect.ship.engines import Buildah, Container, Docker, ImageBuild, Podman
from tests.ship.conftest import Host

DAEMON = "echo 'Cannot connect to the Docker daemon at unix:///var/run/docker.sock.'; exit 1"
OVERLAY = "echo 'Error: kernel does not support overlay fs: \"overlay\" is not supported over overlay'; exit 125"
SUBUID = "echo 'Error: cannot set up namespace using newuidmap: exit status 1'; exit 125"
RLIMIT = "echo 'Error: crun: setrlimit `RLIMIT_NOFILE`: Operation not permitted: OCI permission denied'; exit 126"


def test_without_any_engine_the_packages_are_named(host: Host) -> None:
    with pytest.raises(HostError) as caught:
        engines.present()
    assert caught.value.exit_code == 6
    for package in ("podman", "buildah", "docker.io"):
        assert f"apt-get install {package}" in caught.value.hint


def test_an_engine_that_is_named_is_never_replaced(host: Host, buildah: Callable[[], None]) -> None:
    buildah()
    with pytest.raises(HostError, match="podman is not on this machine") as caught:
        engines.present("podman")
    assert "buildah" not in caught.value.hint


def test_an_unknown_engine_is_a_usage_error(host: Host) -> None:
    with pytest.raises(ConfigError, match="unknown engine 'podmann' in --engine") as caught:
        engines.present("podmann")
    assert "did you mean 'podman'?" in caught.value.hint


def test_one_that_can_not_work_leaves_its_place_to_the_next(host: Host, buildah: Callable[[], None]) -> None:
    host.engine("podman", OVERLAY)
    host.engine("docker", DAEMON)
    buildah()
    assert [engine.name for engine in engines.present()] == ["buildah"]


@pytest.mark.parametrize(
    ("name", "script", "lacks", "way_out"),
    [
        ("docker", DAEMON, "its daemon doesn't answer", "systemctl start docker"),
        ("podman", OVERLAY, "its storage can't be used", "STORAGE_DRIVER=vfs"),
        ("podman", SUBUID, "it gets no namespace", "--add-subuids"),
        ("buildah", SUBUID, "it gets no namespace", "buildah"),
        ("podman", RLIMIT, "it gets no namespace", "--engine buildah"),
        ("podman", "echo 'Error: something new'; exit 1", "it failed", "--engine"),
    ],
)
def test_what_is_lacking_is_said_with_the_way_out(host: Host, name: str, script: str, lacks: str, way_out: str) -> None:
    host.engine(name, script)
    with pytest.raises(HostError) as caught:
        engines.present(name)
    assert caught.value.what.startswith(f"{name} can't work here: {lacks}")
    assert way_out in caught.value.hint
    assert "last lines:" in caught.value.why


def test_all_obstacles_are_said_where_none_works(host: Host) -> None:
    host.engine("podman", SUBUID)
    host.engine("docker", DAEMON)
    with pytest.raises(HostError) as caught:
        engines.present()
    assert "newuidmap" in caught.value.why
    assert "docker.sock" in caught.value.why


def test_no_build_tags_anything(host: Host, buildah: Callable[[], None]) -> None:
    buildah()
    build = ImageBuild(
        Path("/c"), Path("/c/Dockerfile"), args={"A": "b c"}, secrets={"s": Path("/c/s")}, target="run", no_cache=True
    )
    for engine in (Buildah(), Docker()):
        words = engine.build(build, Path("/c/id"))
        assert "--tag" not in words
        assert "-t" not in words
        assert words[-1] == "/c"
        for pair in (
            ("--build-arg", "A=b c"),
            ("--secret", "id=s,src=/c/s"),
            ("--target", "run"),
            ("--iidfile", "/c/id"),
        ):
            assert words[words.index(pair[0]) + 1] == pair[1]


def test_buildah_calls_the_entry_point_which_its_run_ignores(host: Host, buildah: Callable[[], None]) -> None:
    buildah()
    container = Container("image", ["doctor"], {"/cache": "/here"}, {"A": "b"}, "7:8")
    made, _, ran = Buildah().run(container, "name")
    assert made == ["buildah", "from", "--pull-never", "--name", "name", "image"]
    assert ran[-4:] == ["name", "--", "/entry", "doctor"]
    for pair in (("--volume", "/here:/cache"), ("--env", "A=b"), ("--user", "7:8"), ("--isolation", "chroot")):
        assert ran[ran.index(pair[0]) + 1] == pair[1]


def test_docker_and_podman_remove_what_they_ran(host: Host) -> None:
    for engine in (Docker(), Podman()):
        (words,) = engine.run(Container("image", ["doctor"]), "name")
        assert words[-2:] == ["image", "doctor"]
        assert "--rm" in words
        assert engine.end("name") == [engine.name, "rm", "--force", "name"]


def test_layers_of_docker_are_those_with_files(host: Host) -> None:
    host.engine("docker", "printf '0\\tLABEL a=b\\n2000\\tRUN two\\n0\\tENV\\n1000\\tRUN one\\n'")
    assert [(layer.size, layer.made_by) for layer in Docker().layers("image")] == [(1000, "RUN one"), (2000, "RUN two")]


def test_layers_of_buildah_come_from_its_storage(host: Host, buildah: Callable[[], None]) -> None:
    buildah()
    assert [layer.size for layer in Buildah().layers("image")] == [1000000, 2000000]


def test_a_stage_that_is_one_layer_is_named_by_its_command(host: Host, buildah: Callable[[], None]) -> None:
    history: list[dict[str, object]] = [
        {"created_by": "/bin/sh -c #(nop) ADD file:base in /"},
        {"created_by": "/bin/sh -c install lab", "empty_layer": True},
        {"created_by": "/bin/sh -c #(nop) COPY dir:1 in /", "empty_layer": True},
        {"created_by": "/bin/sh -c #(nop) CMD"},
    ]
    assert engines._makers(history) == ["/bin/sh -c #(nop) ADD file:base in /", "/bin/sh -c install lab"]


def test_a_volume_is_a_folder_or_a_name_where_there_are_names(tmp_path: Path) -> None:
    assert engines.checked_volume(Docker(), "cache") == "cache"
    assert engines.checked_volume(Buildah(), str(tmp_path)) == str(tmp_path)
    with pytest.raises(ConfigError, match="buildah has no named volumes"):
        engines.checked_volume(Buildah(), "cache")
