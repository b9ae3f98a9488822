"""neutron, simulated."""
