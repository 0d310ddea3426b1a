"""PostgreSQL and Valkey from wheels, run by us for demo, development and tests. Runs without Django."""
