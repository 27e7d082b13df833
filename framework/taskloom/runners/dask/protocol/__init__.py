"""The protocol between a program and the workers of a cluster, as two machines without a clock, a thread or a socket.

`Placement` is in the program, one for each cluster. `Agent` is in each worker process, one for each program that uses
it. Either takes one input and the time, changes its state, and returns actions: `handle(input, now) -> list of actions`
and `next_deadline() -> monotonic seconds` are the whole interface. `messages` has the records that cross the network.

Words:
- A *session* is one program on one cluster, from its attach to its end: a random id.
- A *run* is the core's: one attempt of a job. An *execution* is one call of our function by Dask for that run, with a
  random id: Dask may call it again elsewhere, whenever it likes.
- An execution *claims*; the program *grants* the first one of a run that is still wanted, and *denies* every other.
  User code is entered only after a grant, so at most once for each run.
- The *lease* of a session at an agent ends `ttl` seconds after the latest *stamp* of the agent's own clock that the
  program has sent back to it. So a request that arrives late extends nothing, and the program knows a true bound: what
  it has not heard of for `ttl + grace` has stopped.
- An *entry* is something that has happened at an agent. Entries are numbered, and kept until the program
  acknowledges them: a lost message loses nothing.
"""
