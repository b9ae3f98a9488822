"""The commands: each a thin class, served as ``stackmend ...`` and as ``openstack recovery ...``."""
