"""What prompts share: hash ids of a trace become the paths that caches compare.

A radix tree whose nodes are never cut. A node is the text of the prompt that first left another
prompt's text, from where it left; a prompt that goes on where a node ends lengthens the node. So a
path is short, `((node, where its part ends), ...)`, a node's number stays valid whatever comes
later, and units of any size follow from it: block i of a node is the same block in every prompt
that holds it. A last id that stands for less than `hash_tokens` tokens is a node of its own that
ends with the prompt. What no id covers (the tail of a prompt, its answer) is private to the
request, unless the next turn of the session is seen to contain it.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np

from kvsim.cache.keys import Path
from kvsim.workload.request import NO_END
from kvsim.workload.traces.trace import HashIds, Trace, next_turns

Answers = Literal["returned", "private"]

_FIRST_COMPARED = 32


class Match(NamedTuple):
    """Where the ids of one prompt lie in the tree."""

    nodes: list[tuple[int, int]]
    """(node, number of full blocks of the prompt up to its end)."""
    partial: int | None
    """Node of the last, shorter block."""
    hit_blocks: int
    """Leading ids that earlier prompts had too, the shorter block included."""


class PrefixTree:
    """All prompts so far, over one array of ids that holds the ids of each."""

    def __init__(self, hash_ids: HashIds) -> None:
        self.num_nodes = 0
        self._ids = hash_ids
        # A node's ids from its prompt's first on: ids[origin + depth] for depths below its end.
        self._origin: list[int] = []
        self._end: list[int] = []
        # Where nodes begin: (node left, depth, first id) and, for roots, (-1 - scope, 0, first id).
        self._edges: dict[tuple[int, int, int], int] = {}
        self._partials: dict[tuple[int, int, int], int] = {}

    def private_node(self) -> int:
        """Make a node that no other prompt reaches."""
        self.num_nodes += 1
        self._origin.append(0)
        self._end.append(0)
        return self.num_nodes - 1

    def insert(self, scope: int, start: int, full: int, *, partial: bool) -> Match:
        """Add the prompt of ids `[start, start + full)`, and one more if `partial`."""
        ids = self._ids
        parent, depth = -1 - scope, 0
        nodes: list[tuple[int, int]] = []
        hit: int | None = None
        while depth < full:
            key = (parent, depth, int(ids[start + depth]))
            node = self._edges.get(key)
            if node is None:
                node = self._new_node(start, full)
                self._edges[key] = node
                hit = depth if hit is None else hit
                depth = full
            else:
                depth = self._common(node, start, depth, full)
                if depth == self._end[node] and depth < full:
                    hit = depth if hit is None else hit
                    self._origin[node], self._end[node] = start, full
                    depth = full
            nodes.append((node, depth))
            parent = node
        hit_blocks = full if hit is None else hit
        if not partial:
            return Match(nodes, None, hit_blocks)
        key = (parent, full, int(ids[start + full]))
        last = self._partials.get(key)
        if last is None:
            last = self._partials[key] = self.private_node()
        elif hit is None:
            hit_blocks += 1
        return Match(nodes, last, hit_blocks)

    def _new_node(self, start: int, full: int) -> int:
        node = self.private_node()
        self._origin[node], self._end[node] = start, full
        return node

    def _common(self, node: int, start: int, depth: int, full: int) -> int:
        """Return the depth up to which a prompt follows a node that it has entered."""
        ids, origin = self._ids, self._origin[node]
        end = min(self._end[node], full)
        if origin == start:
            return end
        step = _FIRST_COMPARED
        while depth < end:
            stop = min(end, depth + step)
            differs = ids[origin + depth : origin + stop] != ids[start + depth : start + stop]
            if differs.any():
                return depth + int(differs.argmax())
            depth, step = stop, step * 8
        return end


class Paths(NamedTuple):
    """The paths of all rows, and how many nodes they use (numbered from 0)."""

    paths: list[Path]
    num_nodes: int


def build_paths(trace: Trace, *, answers: Answers = "returned") -> Paths:
    """Name what each row's prompt and answer say.

    With answers "returned", a row's tail and answer are taken for the text that the next turn of
    its session has in their place, if that turn repeats all full blocks of the row and is long
    enough to hold them. Without hash ids, length alone decides: a session's next prompt repeats
    the one before if it is not shorter; otherwise its text begins anew.
    """
    tree = PrefixTree(trace.hash_ids)
    grain = trace.hash_tokens
    heads: list[list[tuple[int, int]]] = [[] for _ in range(len(trace))]
    if grain:
        full_blocks = trace.prompt_tokens // grain
        columns = zip(
            trace.scope.tolist(),
            trace.hash_starts.tolist(),
            full_blocks.tolist(),
            (trace.hash_counts > full_blocks).tolist(),
            trace.prompt_tokens.tolist(),
            strict=True,
        )
        for row, (scope, start, full, partial, prompt) in enumerate(columns):
            match = tree.insert(scope, start, full, partial=partial)
            head = [(node, blocks * grain) for node, blocks in match.nodes]
            if match.partial is not None:
                head.append((match.partial, prompt))
            heads[row] = head
    following = next_turns(trace).tolist() if trace.has_sessions else [-1] * len(trace)
    ends = (trace.prompt_tokens + trace.output_tokens).tolist()
    prompts = trace.prompt_tokens.tolist()
    paths: list[Path] = [()] * len(trace)
    for row in range(len(trace) - 1, -1, -1):
        head = heads[row]
        later = following[row]
        if later >= 0:
            if answers == "returned" and prompts[later] >= ends[row]:
                if not grain or _repeats(trace, row, later):
                    head = _cut(paths[later], ends[row])
            elif not grain and prompts[later] >= prompts[row]:
                head = _cut(paths[later], prompts[row])
        paths[row] = (*head, (tree.private_node(), NO_END))
    return Paths(paths, tree.num_nodes)


def _repeats(trace: Trace, row: int, later: int) -> bool:
    """Tell whether a later row begins with all full blocks of a row, in the same scope.

    A last, shorter block does not count: filled up, it has another id.
    """
    full = int(trace.prompt_tokens[row]) // trace.hash_tokens
    if trace.scope[row] != trace.scope[later] or trace.hash_counts[later] < full:
        return False
    return bool(np.array_equal(trace.hashes(row)[:full], trace.hashes(later)[:full]))


def _cut(path: Path, end_token: int) -> list[tuple[int, int]]:
    """Return the beginning of a path up to a token."""
    head: list[tuple[int, int]] = []
    for node, end in path:
        if end >= end_token:
            head.append((node, end_token))
            break
        head.append((node, end))
    return head


def shift_path(path: Path, first_node: int) -> Path:
    """Return the same path through other nodes, numbered from `first_node` on."""
    return tuple((node + first_node, end) for node, end in path)
