"""The only doors to the outside: OpenStack APIs, service databases, SSH."""
