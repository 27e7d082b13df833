"""The routes that watch: events, log lines, stacks and coming firings; and the description of the API."""
