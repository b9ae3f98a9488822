"""Plans, runs, lanes and their persistence; no OpenStack knowledge."""
