"""stackmend as a plugin of the OpenStackClient: ``openstack recovery ...``."""

import argparse

API_NAME = "recovery"
API_VERSION_OPTION = "os_recovery_api_version"
DEFAULT_API_VERSION = "1"
API_VERSIONS = ("1",)


def make_client(instance: object) -> object:
    """There is no client: the commands open the doors they need themselves."""
    return instance


def build_option_parser(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """No global option of our own."""
    return parser
