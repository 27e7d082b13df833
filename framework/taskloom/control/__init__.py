"""See and steer a running program from outside: the HTTP API over a unix socket, its server and its client."""
