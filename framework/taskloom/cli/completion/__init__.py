"""Completion for bash, zsh and fish: what may follow on a command line, and the scripts that ask for it."""
