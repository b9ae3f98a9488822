"""A real OpenStack on loopback: its own MariaDB, RabbitMQ and services, under one directory."""
