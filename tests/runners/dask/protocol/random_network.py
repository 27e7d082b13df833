"""A program and its workers on a random network: real `Placement` and `Agent` machines, all else is simulated.

The network delays, loses and duplicates messages, and is cut. Workers are killed, replaced, frozen and closed; their
clocks have offsets. The scheduler executes tasks again as it likes. The program may die. `Network.run` returns the
history, which `network_checker` judges by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from heapq import heappop, heappush
from math import inf
from random import Random
from typing import Any, NamedTuple

from taskloom.core.endings import Reason, ReasonKind
from taskloom.runners.dask.protocol import agent_io, placement_io
from taskloom.runners.dask.protocol.agent import Agent
from taskloom.runners.dask.protocol.messages import CommandKind, Lease, Reply, Request
from taskloom.runners.dask.protocol.placement import Placement

__all__ = ["Faults", "History", "Network", "Seen"]

TASK = "work"
# Of an input that a busy machine handles late, in seconds.
LATENESS = 0.02


class Seen(NamedTuple):
    """One thing that has happened, at a second of real time."""

    at: float
    kind: str
    run: str = ""
    execution: str = ""
    data: Any = None


@dataclass(frozen=True, slots=True)
class Faults:
    """What goes wrong in a scenario, as probabilities and rates per second."""

    loss: float = 0.0
    duplicate: float = 0.0
    slow: float = 0.0
    stuck_events: float = 0.0
    cut: float = 0.0
    kill: float = 0.0
    replace: float = 0.0
    freeze: float = 0.0
    close: float = 0.0
    remove: float = 0.0
    rerun: float = 0.0
    cluster: float = 0.0
    program_dies: bool = False

    @classmethod
    def draw(cls, random: Random) -> Faults:
        """Draw which faults happen: each in some of the scenarios only, so that they meet in all ways."""

        def often(value: float, share: float = 0.4) -> float:
            return value * random.random() if random.random() < share else 0.0

        return cls(
            loss=often(0.3), duplicate=often(0.3), slow=often(0.2), stuck_events=often(1.0, 0.25), cut=often(0.06),
            kill=often(0.02), replace=often(0.02), freeze=often(0.03), close=often(0.02, 0.25),
            remove=often(0.02, 0.25), rerun=often(0.05), cluster=often(0.02, 0.2), program_dies=random.random() < 0.15,
        )  # fmt: skip

    @property
    def is_calm(self) -> bool:
        """Return whether nothing goes wrong."""
        return self == Faults()


@dataclass(slots=True)
class History:
    """What has happened, in order, and how the scenario was."""

    lease: Lease
    faults: Faults
    slots: int
    seen: list[Seen] = field(default_factory=list)
    program_offset: float = 0.0
    died_at: float = inf

    def add(self, at: float, kind: str, run: str = "", execution: str = "", data: Any = None) -> None:
        self.seen.append(Seen(at, kind, run, execution, data))


@dataclass(slots=True)
class Child:
    """The processes of an execution."""

    run: str
    stop_by: float
    """When their supervisor kills them, by the clock of their host."""
    is_deaf: bool
    lines: int = 0


@dataclass(slots=True)
class SimulatedWorker:
    """One worker process."""

    address: str
    offset: float
    number: int
    agent: Agent | None = None
    agents: int = 0
    children: dict[str, Child] = field(default_factory=dict)
    runs: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Run and key of each execution whose caller was not released."""
    is_alive: bool = True
    closing: str = ""
    frozen_until: float = -inf
    inbox: list[agent_io.Input] = field(default_factory=list)
    """What has come while the process was frozen."""
    cut_until: float = -inf
    is_removed: bool = False
    armed: float = inf
    newest_stamp: float = -inf


class Network:
    """One scenario."""

    def __init__(self, seed: int, *, workers: int = 4, runs: int = 24, seconds: float = 90.0) -> None:
        self.random = random = Random(seed)
        self.faults = Faults() if seed % 10 == 0 else Faults.draw(random)
        self.lease = random.choice([Lease(), Lease(), Lease(3.0, 1.0, 1.0, 5.0), Lease(9.0, 2.0, 3.0, 15.0)])
        self.seconds = seconds
        self.now = 0.0
        self.events: list[tuple[float, int, Callable[[], None]]] = []
        self.count = 0
        self.history = History(self.lease, self.faults, 0)
        self.history.program_offset = self.program_offset = random.uniform(-1e5, 1e5)
        self.placement: Placement | None = Placement("s", self.lease)
        self.armed = inf
        self.is_cut_off = False
        self.futures: dict[str, str] = {}
        """Run by the key of each task that the program holds."""
        self.tasks: list[tuple[str, str, Mapping[str, Any], tuple[str, ...]]] = []
        """Key, run, spec and workers of each task that the scheduler has not sent to a worker."""
        self.specs: dict[str, tuple[str, Mapping[str, Any], tuple[str, ...]]] = {}
        self.workers: dict[str, SimulatedWorker] = {}
        self.executions = 0
        self.answered: set[int] = set()
        self.slots = random.choice([1, 2, 2, 4])
        for number in range(random.randint(1, workers)):
            self.start_worker(f"tcp://w{number}", random.uniform(0, 3))
        self.history.slots = self.slots * len(self.workers)
        self.plan_users(random.randint(1, runs))
        self.plan_faults()

    # -- time

    def at(self, seconds: float, call: Callable[[], None]) -> None:
        self.count += 1
        heappush(self.events, (self.now + seconds, self.count, call))

    def run(self) -> History:
        """Play the scenario until everything has ended, and return its history."""
        steps = 0
        while self.events:
            self.now, _, call = heappop(self.events)
            call()
            steps += 1
            if steps > 60_000 or self.now > self.seconds + 1000:
                self.history.add(self.now, "endless")
                break
        self.history.add(self.now, "over")
        return self.history

    def healthy(self) -> bool:
        """Whether the time of faults is over."""
        return self.now > self.seconds

    # -- users

    def plan_users(self, runs: int) -> None:
        random = self.random
        for number in range(runs):
            run = f"r{number}"
            begin = random.choice([random.uniform(0, 5), random.uniform(0, self.seconds * 0.7)])
            self.at(begin, lambda run=run: self.place(run))  # type: ignore[misc]
            for _ in range(random.choice([0, 0, 1, 3])):
                kind = random.choice([CommandKind.URGENT, CommandKind.POLL_INTERVAL, CommandKind.STACK])
                number_sent = float(random.randint(1, 9))
                self.at(begin + random.uniform(0, 30), lambda r=run, k=kind, n=number_sent: self.command(r, k, n))  # type: ignore[misc]
            if random.random() < 0.6:
                stop = begin + random.choice([random.uniform(0, 1), random.uniform(0, 40)])
                self.at(stop, lambda run=run: self.cancel(run))  # type: ignore[misc]
                if random.random() < 0.4:
                    self.at(stop + random.uniform(0, 12), lambda run=run: self.command(run, CommandKind.KILL, 0))  # type: ignore[misc]
            # In the end all are stopped: first cancelled, then killed.
            self.at(self.seconds + 60, lambda run=run: self.cancel(run))  # type: ignore[misc]
            self.at(self.seconds + 80, lambda run=run: self.command(run, CommandKind.KILL, 0))  # type: ignore[misc]
        if random.random() < 0.3:
            self.at(random.uniform(10, self.seconds + 50), self.close_session)

    def place(self, run: str) -> None:
        self.history.add(self.now, "place", run)
        self.tell(placement_io.PlaceRun(run, "job", TASK, 1, {"run": run}))

    def cancel(self, run: str) -> None:
        self.history.add(self.now, "cancel", run)
        self.tell(placement_io.CancelRequested(run, Reason(ReasonKind.USER, "enough")))

    def command(self, run: str, kind: str, number: float) -> None:
        self.history.add(self.now, "command", run, data=(kind, number))
        self.tell(placement_io.CommandRequested(run, kind, number))

    def close_session(self) -> None:
        self.history.add(self.now, "closed")
        self.tell(placement_io.SessionClosed())

    # -- the program

    def tell(self, given: placement_io.Input) -> None:
        """Give the placement an input, and carry out its actions."""
        if self.placement is None:
            return
        now = self.now + self.program_offset
        actions = self.placement.handle(given, now)
        self.history.add(self.now, "input", data=given)
        for action in actions:
            self.history.add(self.now, "action", getattr(action, "run", ""), data=action)
            self.carry_out(action)
        due = self.placement.next_deadline() - self.program_offset
        if due <= self.now:
            self.history.add(self.now, "past deadline", data="placement")
        if due < self.armed:
            self.armed = due
            self.at(max(0.0, due - self.now) + self.random.uniform(0, LATENESS), self.tick)

    def tick(self) -> None:
        self.armed = inf
        self.tell(placement_io.Tick())

    def carry_out(self, action: placement_io.Action) -> None:
        if isinstance(action, placement_io.SendRequest):
            self.send(action)
        elif isinstance(action, placement_io.SubmitTask):
            self.futures[action.key] = action.run
            self.specs[action.key] = (action.run, action.spec, action.workers)
            self.tasks.append((action.key, action.run, action.spec, action.workers))
            self.at(self.random.uniform(0.001, 0.02), self.schedule)
        elif isinstance(action, placement_io.WithdrawTask | placement_io.DropTask):
            self.futures.pop(action.key, None)
            if isinstance(action, placement_io.WithdrawTask):
                self.at(self.random.uniform(0.001, 0.05), lambda: self.withdraw(action.key))

    def die(self) -> None:
        self.placement = None
        self.history.died_at = self.now
        self.history.add(self.now, "died")

    # -- the network

    def delay(self) -> float:
        random = self.random
        if not self.healthy() and random.random() < self.faults.slow:
            return random.choice([random.uniform(0.1, 2), random.uniform(1, 40)])
        return random.uniform(0.001, 0.03)

    def is_lost(self, worker: SimulatedWorker) -> bool:
        return not self.healthy() and (worker.cut_until > self.now or self.random.random() < self.faults.loss)

    def copies(self) -> int:
        return 2 if not self.healthy() and self.random.random() < self.faults.duplicate else 1

    def send(self, sent: placement_io.SendRequest) -> None:
        address, seq = sent.address, sent.request.seq
        worker = self.workers.get(address)
        text = sent.request.to_json()
        gone = worker is None or not worker.is_alive or self.is_cut_off
        self.at(0.01 if gone else sent.within, lambda: self.time_out(address, seq))
        if worker is None or gone:
            return
        for _ in range(self.copies()):
            if not self.is_lost(worker):
                self.at(self.delay(), lambda: self.deliver(worker, text))

    def time_out(self, address: str, seq: int) -> None:
        if seq not in self.answered:
            # A reply that comes after this is late, and is delivered nevertheless.
            self.tell(placement_io.RequestFailed(address, seq, "no answer"))

    def deliver(self, worker: SimulatedWorker, text: str) -> None:
        if not worker.is_alive or self.workers.get(worker.address) is not worker:
            return
        if worker.frozen_until > self.now or worker.inbox:
            self.at(max(0.001, worker.frozen_until - self.now), lambda: self.deliver(worker, text))
            return
        request = Request.from_json(text)
        agent = self.agent_of(worker)
        reply_agent = self.tell_agent(worker, agent_io.Requested(request))
        if request.stamp is not None and request.agent == f"{worker.address}#{worker.number}.{worker.agents}":
            worker.newest_stamp = max(worker.newest_stamp, request.stamp)
        self.reply(worker, request.seq, (reply_agent or agent).reply(self.now + worker.offset))

    def reply(self, worker: SimulatedWorker, seq: int, reply: Reply) -> None:
        text = reply.to_json()
        self.history.add(self.now, "reply", data=len(text))
        for _ in range(self.copies()):
            if not self.is_lost(worker):
                self.at(self.delay(), lambda: self.answer(worker.address, seq, text))

    def answer(self, address: str, seq: int, text: str) -> None:
        if not self.is_cut_off:
            self.answered.add(seq)
            self.tell(placement_io.Replied(address, seq, Reply.from_json(text)))

    # -- the scheduler

    def free(self, worker: SimulatedWorker) -> bool:
        usable = worker.is_alive and not worker.closing and not worker.is_removed
        return usable and len(worker.runs) < self.slots and worker.cut_until <= self.now

    def schedule(self) -> None:
        waiting, self.tasks = self.tasks, []
        for key, run, spec, allowed in waiting:
            free = [each for each in self.workers.values() if each.address in allowed and self.free(each)]
            if free:
                self.execute(self.random.choice(free), key, run, spec)
            elif key in self.futures:
                self.tasks.append((key, run, spec, allowed))

    def execute(self, worker: SimulatedWorker, key: str, run: str, spec: Mapping[str, Any]) -> None:
        self.executions += 1
        execution = f"e{self.executions}"
        worker.runs[execution] = (run, key)
        self.history.add(self.now, "begin", run, execution)
        self.at(self.random.uniform(0.001, 0.02), lambda: self.begin(worker, execution, run, spec))

    def begin(self, worker: SimulatedWorker, execution: str, run: str, spec: Mapping[str, Any]) -> None:
        if worker.is_alive:
            self.tell_agent(worker, agent_io.Begun(execution, run, spec, self.lease))

    def withdraw(self, key: str) -> None:
        self.tasks = [task for task in self.tasks if task[0] != key]
        for worker in self.workers.values():
            for execution, (_, of) in list(worker.runs.items()):
                if of == key and self.random.random() < 0.5:
                    self.tell_agent(worker, agent_io.Withdrawn(execution))

    def return_to_dask(self, worker: SimulatedWorker, execution: str, verdict: str) -> None:
        run, key = worker.runs.pop(execution)
        self.history.add(self.now, "return", run, execution, verdict)
        if key in self.futures and not worker.is_removed and not self.is_cut_off:
            self.at(self.delay(), lambda: self.end_future(key, verdict))
        self.at(0.001, self.schedule)

    def end_future(self, key: str, verdict: str) -> None:
        run = self.futures.get(key)
        if run is not None:
            self.tell(placement_io.FutureEnded(run, verdict, "", key))

    def execute_again(self, worker: SimulatedWorker) -> None:
        """Dask has lost the worker: it sends its tasks to other ones, or gives them up."""
        for _, key in list(worker.runs.values()):
            if key in self.futures and self.random.random() < 0.7:
                self.tasks.append((key, *self.specs[key]))
            elif key in self.futures:
                self.at(self.random.uniform(0, 0.1), lambda key=key: self.end_future(key, "lost"))  # type: ignore[misc]
        self.at(0.01, self.schedule)

    # -- workers

    def start_worker(self, address: str, delay: float) -> None:
        old = self.workers.get(address)
        number = 0 if old is None else old.number + 1
        offset = self.random.uniform(-1e5, 1e5) if old is None else old.offset
        worker = self.workers[address] = SimulatedWorker(address, offset, number)
        seen = placement_io.Worker(address, address[6:], "host", 1, self.slots, frozenset({TASK}))
        self.at(delay, lambda: self.tell(placement_io.WorkerJoined(seen)))
        self.at(delay, self.schedule)
        worker.cut_until = -inf if old is None else old.cut_until

    def agent_of(self, worker: SimulatedWorker) -> Agent:
        if worker.agent is None:
            worker.agents += 1
            worker.agent = Agent("s", f"{worker.address}#{worker.number}.{worker.agents}")
            worker.newest_stamp = -inf
            worker.armed = inf
        return worker.agent

    def tell_agent(self, worker: SimulatedWorker, given: agent_io.Input) -> Agent | None:
        """Give the agent of a worker an input, and carry out its actions."""
        if worker.frozen_until > self.now or worker.inbox:
            if not worker.inbox:
                self.at(max(0.001, worker.frozen_until - self.now), lambda: self.wake_agent(worker))
            worker.inbox.append(given)
            return None
        return self.hand_in(worker, given)

    def hand_in(self, worker: SimulatedWorker, given: agent_io.Input) -> Agent:
        agent = self.agent_of(worker)
        for action in agent.handle(given, self.now + worker.offset):
            self.carry_out_there(worker, agent, action)
        due = agent.next_deadline() - worker.offset
        if due <= self.now:
            self.history.add(self.now, "past deadline", data="agent")
        if worker.agent is agent and due < worker.armed:
            worker.armed = due
            self.at(max(0.0, due - self.now) + self.random.uniform(0, LATENESS), lambda: self.tick_agent(worker, agent))
        return agent

    def wake_agent(self, worker: SimulatedWorker) -> None:
        # One after the other: what the actions of one bring comes after all that has come before.
        while worker.inbox and worker.is_alive:
            self.hand_in(worker, worker.inbox.pop(0))
        worker.inbox.clear()

    def tick_agent(self, worker: SimulatedWorker, agent: Agent) -> None:
        if worker.is_alive and worker.agent is agent:
            worker.armed = inf
            self.tell_agent(worker, agent_io.Tick())

    def carry_out_there(self, worker: SimulatedWorker, agent: Agent, action: agent_io.Action) -> None:
        execution = getattr(action, "execution", "")
        run = worker.runs.get(execution, ("", ""))[0]
        if not isinstance(action, agent_io.CommandChild | agent_io.Publish | agent_io.RenewChild):
            self.history.add(self.now, "agent action", run, execution, action)
        if isinstance(action, agent_io.StartChild):
            self.start_child(worker, run, action)
        elif isinstance(action, agent_io.CommandChild):
            self.command_child(worker, action)
        elif isinstance(action, agent_io.KillChild):
            self.end_child(worker, action.execution, "killed")
        elif isinstance(action, agent_io.RenewChild) and action.execution in worker.children:
            self.supervise(worker, action.execution, action.until + action.grace)
        elif isinstance(action, agent_io.ReleaseCaller):
            self.return_to_dask(worker, action.execution, action.verdict)
        elif isinstance(action, agent_io.Publish):
            self.at(self.random.uniform(0, 0.05), lambda: self.publish(worker, agent))
        elif isinstance(action, agent_io.Forget):
            worker.agent = None

    def publish(self, worker: SimulatedWorker, agent: Agent) -> None:
        if not worker.is_alive or worker.frozen_until > self.now:
            return
        reply = agent.publication(self.now + worker.offset)
        if reply is not None and (self.healthy() or self.random.random() >= self.faults.stuck_events):
            self.reply(worker, 0, reply)

    # -- the processes of runs

    def start_child(self, worker: SimulatedWorker, run: str, action: agent_io.StartChild) -> None:
        random = self.random
        execution = action.execution
        self.history.add(self.now, "start", run, execution, (action.until - worker.offset, action.spec))
        worker.children[execution] = Child(run, inf, random.random() < 0.3)
        self.supervise(worker, execution, action.until + action.grace)
        self.at(0.01, lambda: self.report(worker, execution, {"process": {"pid": 100 + self.executions}}))
        self.at(0.02, lambda: self.report(worker, execution, {"started": True}))
        for _ in range(random.choice([0, 1, 5])):
            self.at(random.uniform(0.03, 20), lambda: self.report_line(worker, execution))
            self.at(random.uniform(0.03, 20), lambda: self.report_line(worker, execution))
        if random.random() < 0.7:
            self.at(random.choice([random.uniform(0.02, 1), random.uniform(1, 60)]),
                    lambda: self.end_child(worker, execution, "returned"))  # fmt: skip

    def supervise(self, worker: SimulatedWorker, execution: str, stop_by: float) -> None:
        child = worker.children[execution]
        child.stop_by = stop_by
        # A little later than the agent, which has the same deadline.
        self.at(max(0.0, stop_by - worker.offset - self.now) + 0.05, lambda: self.end_late_child(worker, execution))

    def end_late_child(self, worker: SimulatedWorker, execution: str) -> None:
        child = worker.children.get(execution)
        if child is not None and child.stop_by <= self.now + worker.offset:
            self.end_child(worker, execution, "killed by its supervisor")

    def command_child(self, worker: SimulatedWorker, action: agent_io.CommandChild) -> None:
        command = action.command
        child = worker.children.get(command.execution)
        self.history.add(self.now, "child command", child.run if child else "", command.execution,
                         (command, worker.newest_stamp - worker.offset))  # fmt: skip
        if child is not None and command.kind == CommandKind.CANCEL and not child.is_deaf:
            pause = self.random.choice([0.001, self.random.uniform(0, 3)])
            self.at(pause, lambda: self.end_child(worker, command.execution, "cancelled"))

    def report(self, worker: SimulatedWorker, execution: str, data: Mapping[str, Any]) -> None:
        if worker.is_alive and execution in worker.children:
            self.tell_agent(worker, agent_io.ExecutionReported(execution, data))

    def report_line(self, worker: SimulatedWorker, execution: str) -> None:
        child = worker.children.get(execution)
        if child is not None:
            child.lines += 1
            self.report(worker, execution, {"log": {"message": child.lines}})
            self.report(worker, execution, {"progress": [child.lines, None, ""], "counts": {"n": child.lines}})

    def end_child(self, worker: SimulatedWorker, execution: str, how: str) -> None:
        child = worker.children.pop(execution, None)
        if child is None:
            return
        self.history.add(self.now, "stop", child.run, execution, how)
        if worker.is_alive:
            ended = {"ended": how, "lines": child.lines}
            self.tell_agent(worker, agent_io.ExecutionReported(execution, ended))
            self.tell_agent(worker, agent_io.ExecutionGone(execution))

    # -- faults

    def plan_faults(self) -> None:
        faults, random = self.faults, self.random
        for address in self.workers:
            for rate, strike in (
                (faults.cut, self.cut), (faults.kill, self.kill), (faults.replace, self.replace),
                (faults.freeze, self.freeze), (faults.close, self.close), (faults.remove, self.remove),
                (faults.rerun, self.run_again),
            ):  # fmt: skip
                at = random.expovariate(rate) if rate else inf
                while at < self.seconds:
                    self.at(at, lambda strike=strike, address=address: strike(address))  # type: ignore[misc]
                    at += random.expovariate(rate)
        if faults.cluster and random.random() < 0.5:
            self.at(random.uniform(5, self.seconds * 0.8), self.lose_cluster)
        if faults.program_dies:
            self.at(random.uniform(5, self.seconds), self.die)

    def cut(self, address: str) -> None:
        worker = self.workers[address]
        worker.cut_until = self.now + self.random.choice([4.0, 15.0, 60.0])
        self.history.add(self.now, "cut", data=address)
        if self.random.random() < 0.4:
            self.at(self.random.uniform(11, 30), lambda: self.remove(address, worker))

    def kill(self, address: str) -> None:
        worker = self.workers[address]
        if not worker.is_alive:
            return
        worker.is_alive = False
        self.history.add(self.now, "killed", data=address)
        for execution, child in list(worker.children.items()):
            del worker.children[execution]
            self.history.add(self.now, "stop", child.run, execution, "with its worker")
        self.at(self.random.choice([0.02, self.random.uniform(0, 30)]), lambda: self.remove(address, worker))

    def replace(self, address: str) -> None:
        """The process of a worker is replaced by another one, and the cluster does not say so."""
        worker = self.workers[address]
        if worker.is_alive:
            self.kill(address)
            worker.is_removed = True
            self.execute_again(worker)
            self.start_worker(address, self.random.uniform(0, 5))

    def remove(self, address: str, worker: SimulatedWorker | None = None) -> None:
        """The cluster removes a worker, dead or alive, and it comes back as it was or as another one."""
        worker = worker or self.workers[address]
        if worker.is_removed or self.workers[address] is not worker:
            return
        worker.is_removed = True
        self.history.add(self.now, "removed", data=address)
        self.tell(placement_io.WorkerLeft(address, "it is gone"))
        self.execute_again(worker)
        self.at(self.random.uniform(0.1, 20), lambda: self.come_back(address, worker))

    def come_back(self, address: str, worker: SimulatedWorker) -> None:
        if self.workers[address] is not worker:
            return
        if worker.is_alive and not worker.closing and self.random.random() < 0.5:
            worker.is_removed = False
            seen = placement_io.Worker(address, address[6:], "host", 1, self.slots, frozenset({TASK}))
            self.tell(placement_io.WorkerJoined(seen))
            self.schedule()
        else:
            self.kill(address)
            self.start_worker(address, self.random.uniform(0, 3))

    def freeze(self, address: str) -> None:
        worker = self.workers[address]
        worker.frozen_until = max(worker.frozen_until, self.now + self.random.choice([1.0, 8.0, 40.0]))

    def close(self, address: str) -> None:
        worker = self.workers[address]
        if worker.is_alive and not worker.closing and not worker.is_removed:
            worker.closing = "retired"
            self.history.add(self.now, "closing", data=address)
            self.tell_agent(worker, agent_io.Closing("it is retired"))
            self.execute_again(worker)
            self.at(self.random.uniform(1, 30), lambda: self.remove(address, worker))

    def run_again(self, address: str) -> None:
        """Dask executes a task once more, beside the living execution of it."""
        worker = self.workers[address]
        keys = [key for _, key in worker.runs.values() if key in self.futures]
        if keys:
            key = self.random.choice(keys)
            self.tasks.append((key, *self.specs[key]))
            self.schedule()

    def lose_cluster(self) -> None:
        self.is_cut_off = True
        self.history.add(self.now, "cluster lost")
        self.tell(placement_io.ClusterLost("the connection is gone"))
        for key in list(self.futures):
            self.end_future(key, "cancelled")
        self.at(self.random.choice([1.0, 10.0, 45.0]), self.regain_cluster)

    def regain_cluster(self) -> None:
        self.is_cut_off = False
        self.tell(placement_io.ClusterBack())
