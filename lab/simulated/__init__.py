"""The simulated cloud: OpenStack APIs over HTTP, rows in a real database, guests behind SSH."""
