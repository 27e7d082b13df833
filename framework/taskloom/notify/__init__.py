"""Notifications: messages to commands and webhooks when a job is in trouble, and when it is well again.

`troubles` decides what is worth a message, and `outbox` when one is sent; both are pure. `command` and `webhook` send,
`receiver` is the thread of one receiver, and `notifier` is all of them, which is all that the program knows. Nothing
here may delay a job: the thread of the events only takes notes, and a receiver that does not answer costs a counter.
"""
