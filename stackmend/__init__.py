"""stackmend: OpenStack's written recovery procedures as persisted, resumable TaskFlow graphs."""

__version__ = "0.1.0"
