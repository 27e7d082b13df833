"""The verbs that ask or steer a running program."""
