"""What a server asks of a host, by its flavor and by its image, and what follows from it."""

from typing import Any

import pytest

from stackmend.flows import migratable, wishes


def server(image: dict[str, str] | None, **flavor: str) -> dict[str, Any]:
    """As much of a captured server as tells what it asks for; ``flavor``: extra specs without their ``hw:``."""
    specs = {f"hw:{name}": value for name, value in flavor.items()}
    return {"image_properties": image, "flavor": {"extra_specs": specs}, "locked": False}


@pytest.mark.parametrize(
    ("image", "flavor", "asked"),
    [
        ({}, {}, {}),
        ({"hw_tpm_version": "2.0"}, {}, {"hw:tpm_version": "2.0"}),
        ({}, {"tpm_version": "1.2"}, {"hw:tpm_version": "1.2"}),
        ({"hw_mem_page_size": "2MB"}, {"mem_page_size": "large"}, {"hw:mem_page_size": "large"}),
        ({"hw_cpu_policy": "dedicated"}, {"cpu_policy": ""}, {"hw:cpu_policy": "dedicated"}),
        ({"hw_cpu_policy": "shared"}, {}, {}),
        ({"hw_cpu_policy": "shared"}, {"cpu_policy": "dedicated"}, {"hw:cpu_policy": "dedicated"}),
        ({"hw_mem_encryption": "False"}, {}, {}),
        ({"hw_mem_encryption": "yes"}, {}, {"hw:mem_encryption": "yes"}),
        ({"os_secure_boot": "optional"}, {}, {}),
        ({"os_secure_boot": "required"}, {}, {"os:secure_boot": "required"}),
        ({"hw_machine_type": "q35"}, {}, {}),
        ({"hw_machine_type": "pc-q35-8.2"}, {}, {"hw:machine_type": "pc-q35-8.2"}),
    ],
)
def test_flavor_and_image_are_one(image: dict[str, str], flavor: dict[str, str], asked: dict[str, str]) -> None:
    assert wishes.of(server(image, **flavor)) == asked


def test_an_image_that_is_not_known_is_noted_and_one_that_was_never_looked_for_is_not() -> None:
    unknown, old = server(None), server({})
    del old["image_properties"]
    assert (wishes.of(unknown), wishes.of(old)) == ({}, {})
    assert ("unknown" in wishes.notes(unknown)[0], wishes.notes(server({})), wishes.notes(old)) == (True, [], [])


@pytest.mark.parametrize(
    ("given", "fragment"),
    [
        (server({"hw_tpm_version": "2.0"}), "virtual TPM"),
        (server({"hw_tpm_version": "2.0"}, tpm_secret_security="user"), "virtual TPM"),
        (server({"hw_mem_encryption": "true"}), "memory is encrypted"),
    ],
)
def test_what_is_not_migrated_live(given: dict[str, Any], fragment: str) -> None:
    assert fragment in migratable.live_refused(given)


def test_what_is_migrated_live_all_the_same() -> None:
    assert migratable.live_refused(server({"hw_tpm_version": "2.0"}, tpm_secret_security="host")) == ""
    numa = server({"hw_numa_nodes": "2", "hw_machine_type": "pc-i440fx-6.2"})
    assert migratable.live_refused(numa) == ""
    assert len(migratable.notes_on(numa)) == 2
    assert "is unknown" in migratable.notes_on(server(None))[0]
