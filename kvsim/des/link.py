"""A server whose time all transfers in flight share, as a fluid: no queue, no packets.

A flow reads or writes its bytes with a number of streams. The server gives one second of
itself per second: n bytes read take n / read_bytes_per_s of it, written n / write_bytes_per_s.
All streams get the same share of it, except where a stream's or a client's own limit is
lower; what these leave goes to the others (max-min fairness). The fair share of one client's
streams under its limit is the same share of server time too, so a client at its limit that
reads and writes at once moves bytes in proportion to the server's two rates.

Left out: start-up of a stream (TCP slow start), loss, and any order among the streams.

How it stays cheap: flows of one client, kind and stream limit always move at one rate per
stream, so they share one number, the bytes that a stream in flight since the beginning would
have moved (the mark). A flow ends when the mark reaches its own; that needs one heap a share,
one timer in all, and no event when rates change. Starts of one instant cost one division.
"""

from __future__ import annotations

from bisect import insort
from heapq import heappop, heappush
from math import inf
from typing import TYPE_CHECKING, Final, Literal

from kvsim.des.fair_share import fair_level

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from kvsim.des.clock import Clock

Kind = Literal["read", "write"]

_ROUNDING: Final = 4.5e-16
"""Two units in the last place: closer than this (relative) two floats are the same here."""
_FINISHED: Final = -1.0
"""The mark of a flow that has left; no mark is negative."""


class _Client:
    """What one client may take in all, and the shares it is split into."""

    __slots__ = ("bytes_per_s", "changed", "max_streams", "scale", "shares")

    def __init__(self, bytes_per_s: float, max_streams: float) -> None:
        self.bytes_per_s = bytes_per_s
        self.max_streams = max_streams
        self.scale = 1.0
        """Real streams per stream asked for: below 1 when flows ask for more than max_streams."""
        self.shares: list[_Share] = []
        self.changed = True


class _Share:
    """All flows of one client, kind and stream limit, which move at one rate per stream."""

    __slots__ = (
        "bytes_per_s",
        "client",
        "due_s",
        "heap",
        "limit",
        "mark",
        "order",
        "server_bytes_per_s",
        "stale",
        "stream_limit",
        "streams",
        "weight",
    )

    def __init__(
        self, client: _Client, order: tuple[int, str, float], server_bytes_per_s: float
    ) -> None:
        self.client = client
        self.order = order
        self.server_bytes_per_s = server_bytes_per_s
        self.stream_limit = order[2] / server_bytes_per_s
        """A stream's own limit, as a share of the server's time."""
        self.limit = self.stream_limit
        """The same with the client's limit."""
        self.streams = 0
        self.weight = 0.0
        """Streams after scaling."""
        self.bytes_per_s = 0.0
        """Rate per stream asked for."""
        self.mark = 0.0
        """Bytes a stream in flight since the share was last empty has moved."""
        self.due_s = inf
        """When the first flow ends."""
        self.stale = True
        """Whether due_s must be worked out anew although the rate is the same."""
        self.heap: list[tuple[float, int, Flow]] = []
        """(mark at the end, number of the push, flow); entries of moved flows stay as chaff."""

    def rest(self) -> None:
        """Start the mark of an empty share at 0 again, where floats are finest."""
        self.mark = 0.0
        self.bytes_per_s = 0.0
        self.weight = 0.0
        self.due_s = inf
        self.heap.clear()


class Flow:
    """One transfer in flight, or `count` equal ones that move as one."""

    __slots__ = ("count", "end_mark", "n_bytes", "number", "on_done", "share", "streams")

    def __init__(
        self,
        share: _Share,
        number: int,
        n_bytes: int,
        streams: int,
        count: int,
        end_mark: float,
        on_done: Callable[[], None],
    ) -> None:
        self.share = share
        self.number = number
        self.n_bytes = n_bytes
        self.count = count
        self.streams = streams
        self.end_mark = end_mark
        self.on_done = on_done

    @property
    def finished(self) -> bool:
        return self.end_mark == _FINISHED


class Link:
    """A server shared by clients; see the module."""

    def __init__(self, clock: Clock, *, read_bytes_per_s: float, write_bytes_per_s: float) -> None:
        for rate in (read_bytes_per_s, write_bytes_per_s):
            assert 0 < rate < inf, f"a link of {rate} bytes/s moves nothing"
        self.clock = clock
        self.read_bytes_per_s = read_bytes_per_s
        self.write_bytes_per_s = write_bytes_per_s
        self.read_bytes_moved = 0
        """Bytes of the reads that have ended."""
        self.write_bytes_moved = 0
        """Bytes of the writes that have ended."""
        self.flows_in_flight = 0
        self._clients: dict[int, _Client] = {}
        self._shares: dict[tuple[int, str, float], _Share] = {}
        self._active: list[_Share] = []  # in order of _Share.order, so that sums always agree
        self._as_of_s = clock.now
        self._due_s = inf  # of the one live timer
        self._num_flows = 0
        self._num_pushes = 0
        self._utilisation = 0.0
        self._changed = False  # since the last division
        self._flushing = False  # a division is due in this instant
        self._fire_at_due = self._fire  # bound once
        self._flush_now = self._flush

    def add_client(
        self, client: int, *, bytes_per_s: float = inf, max_streams: float = inf
    ) -> None:
        """Let a client use the server, within limits over all its flows of both kinds.

        Flows that together ask for more than `max_streams` share these in proportion.
        """
        assert client not in self._clients, f"client {client} is there already"
        assert bytes_per_s > 0, f"client {client} could move nothing"
        assert max_streams > 0, f"client {client} could open no stream"
        self._clients[client] = _Client(bytes_per_s, max_streams)

    def start(
        self,
        n_bytes: int,
        *,
        client: int,
        kind: Kind,
        streams: int,
        per_stream_bytes_per_s: float,
        on_done: Callable[[], None],
        count: int = 1,
    ) -> Flow:
        """Begin to move bytes now; call `on_done` at the end, never before this returns.

        `count` transfers of so many bytes and streams each begin, and so end, together.
        """
        assert streams > 0, "a flow without streams never ends"
        order = (client, kind, per_stream_bytes_per_s)
        share = self._shares.get(order)
        if share is None:
            share = self._add_share(order)
        self._touch(share)
        if not share.streams:
            insort(self._active, share, key=_order)
        share.streams += streams * count
        self._num_flows = number = self._num_flows + 1
        self.flows_in_flight += count
        end_mark = share.mark + n_bytes / streams
        flow = Flow(share, number, n_bytes, streams, count, end_mark, on_done)
        self._push(flow)
        return flow

    def set_streams(self, flow: Flow, streams: int) -> None:
        """Go on with another number of streams; nothing happens to a flow that has ended."""
        assert streams > 0, "a flow without streams never ends"
        if flow.end_mark == _FINISHED or streams == flow.streams:
            return
        share = flow.share
        self._touch(share)
        left = max(flow.end_mark - share.mark, 0.0) * flow.streams
        share.streams += (streams - flow.streams) * flow.count
        flow.streams = streams
        flow.end_mark = share.mark + left / streams
        self._push(flow)

    def together(self, actions: Iterable[Callable[[], None]]) -> None:
        """Do what starts or changes flows in this instant, and divide the server once after it.

        Only cheaper than doing it one by one: then an event at the end of the instant divides.
        """
        flushing, self._flushing = self._flushing, True
        for action in actions:
            action()
        self._flushing = flushing
        self._set_timer()

    @property
    def utilisation(self) -> float:
        """Share of the server's time in use now, 0 to 1."""
        if self._changed:
            self._divide()
        return self._utilisation

    def rate_bytes_per_s(self, flow: Flow) -> float:
        """Return the rate at which a flow moves now (one of `count`)."""
        if flow.end_mark == _FINISHED:
            return 0.0
        if self._changed:
            self._divide()
        return flow.share.bytes_per_s * flow.streams

    def remaining_bytes(self, flow: Flow) -> float:
        """Return what a flow still has to move (one of `count`)."""
        if flow.end_mark == _FINISHED:
            return 0.0
        share = flow.share
        mark = share.mark + (self.clock.now - self._as_of_s) * share.bytes_per_s
        return max(flow.end_mark - mark, 0.0) * flow.streams

    def _add_share(self, order: tuple[int, str, float]) -> _Share:
        number, kind, per_stream_bytes_per_s = order
        assert per_stream_bytes_per_s > 0, "a stream of 0 bytes/s never ends"
        client = self._clients[number]
        rate = self.read_bytes_per_s if kind == "read" else self.write_bytes_per_s
        share = self._shares[order] = _Share(client, order, rate)
        insort(client.shares, share, key=_order)
        return share

    def _touch(self, share: _Share) -> None:
        """Bring marks up to date before the streams of a share change."""
        self._advance()
        share.client.changed = True
        self._changed = True
        if not self._flushing:
            self._flushing = True
            self.clock.call_at(self._as_of_s, self._flush_now)

    def _push(self, flow: Flow) -> None:
        share = flow.share
        self._num_pushes += 1
        heappush(share.heap, (flow.end_mark, self._num_pushes, flow))
        share.stale = True

    def _advance(self) -> None:
        now_s = self.clock.now
        passed_s = now_s - self._as_of_s
        if passed_s:
            for share in self._active:
                share.mark += passed_s * share.bytes_per_s
            self._as_of_s = now_s

    def _flush(self) -> None:
        self._flushing = False
        self._set_timer()

    def _divide(self) -> None:
        """Give every share its rate (marks are up to date)."""
        self._changed = False
        active = self._active
        utilisation = 0.0
        for share in active:
            if share.client.changed:
                _limit_client(share.client)
            utilisation += share.weight * share.limit
        level = inf
        if utilisation > 1.0:
            level = fair_level([(share.weight, share.limit) for share in active], 1.0)
            utilisation = 1.0
        self._utilisation = utilisation
        for share in active:
            part = share.limit if share.limit < level else level
            rate = part * share.server_bytes_per_s * share.client.scale
            if rate != share.bytes_per_s:
                share.bytes_per_s = rate
                share.stale = True

    def _set_timer(self) -> None:
        if self._changed:
            self._divide()
        due_s = inf
        for share in self._active:
            if share.stale:
                share.stale = False
                heap = share.heap
                while heap[0][0] != heap[0][2].end_mark:
                    heappop(heap)
                left = max(heap[0][0] - share.mark, 0.0)
                share.due_s = self._as_of_s + left / share.bytes_per_s
            if share.due_s < due_s:
                due_s = share.due_s
        if due_s != self._due_s:
            self._due_s = due_s
            if due_s != inf:
                self.clock.call_at(due_s, self._fire_at_due)

    def _fire(self) -> None:
        """End the flows that are due, in the order of their start."""
        now_s = self.clock.now
        if now_s != self._due_s:  # a timer that a later division has outdated
            return
        self._due_s = inf
        self._advance()
        ended: list[Flow] = []
        some_rest = False
        for share in self._active:
            heap = share.heap
            # What is left may be rounding of the mark or of the instant; the flow that the
            # timer was set for is due whatever its rest seems to be.
            due_mark = share.mark + _ROUNDING * (share.mark + now_s * share.bytes_per_s)
            if share.due_s <= now_s and heap[0][0] == heap[0][2].end_mark:
                due_mark = max(due_mark, heap[0][0])
            if not heap or heap[0][0] > due_mark:
                continue
            while heap and heap[0][0] <= due_mark:
                entry_mark, _, flow = heappop(heap)
                if entry_mark == flow.end_mark:
                    flow.end_mark = _FINISHED
                    share.streams -= flow.streams * flow.count
                    ended.append(flow)
            share.stale = True
            share.client.changed = True
            if not share.streams:
                share.rest()
                some_rest = True
        self._changed = True
        if some_rest:
            self._active = [share for share in self._active if share.streams]
        if len(ended) > 1:
            ended.sort(key=_number)
        for flow in ended:
            if flow.share.order[1] == "read":
                self.read_bytes_moved += flow.n_bytes * flow.count
            else:
                self.write_bytes_moved += flow.n_bytes * flow.count
            self.flows_in_flight -= flow.count
        self.together([flow.on_done for flow in ended])


def _limit_client(client: _Client) -> None:
    """Work out the weight and limit of each share under its client's own limits."""
    client.changed = False
    shares = [share for share in client.shares if share.streams]
    streams = sum([share.streams for share in shares])
    client.scale = scale = min(1.0, client.max_streams / streams)
    asked = 0.0
    for share in shares:
        share.weight = share.streams * scale
        share.limit = share.stream_limit
        asked += share.weight * share.order[2]
    if asked > client.bytes_per_s:
        demands = [(share.weight * share.server_bytes_per_s, share.limit) for share in shares]
        level = fair_level(demands, client.bytes_per_s)
        for share in shares:
            share.limit = min(share.limit, level)


def _order(share: _Share) -> tuple[int, str, float]:
    return share.order


def _number(flow: Flow) -> int:
    return flow.number
