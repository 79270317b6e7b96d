"""The nearest neighbors of faces most of which have had neighbors before: only rows that may differ are searched.

An earlier row is the beginning of the list of all others in order. Without those that are gone, it still is one, but
may be too short; then the row is searched anew. New faces are searched among all, and enter the rows of those that they
are near to. The result is that of a search from nothing.
"""

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from shared.analysis.candidates import Candidates, Wanted, merge
from shared.analysis.copies import Copies
from shared.analysis.exact_distances import ExactDistances
from shared.analysis.near_pairs import concatenated, divide, nearest
from shared.analysis.pair_screening import screen_tile
from shared.analysis.ragged import starts_of
from shared.domain.arrays import Float32
from shared.results.neighbors_file import Neighbors, Rows

Places = npt.NDArray[np.intp]
Flags = npt.NDArray[np.bool_]
_GONE = _NEW = -1
_ROWS = 4096
_COLUMNS = 16_384
_MOST_PARTS = 8
"""Candidates of several blocks of columns are merged: a row of a crowd has a thousand in each."""
_MOST_ANEW = 0.25
"""A row that is searched anew costs two rows of the search from nothing, which uses each distance twice."""


@dataclass(frozen=True)
class Earlier:
    """The neighbors of before."""

    neighbors: Neighbors
    """Of all faces of before; it may be mapped from a file."""
    copies: Copies
    """Of the faces of before: m embeddings are distinct."""
    wanted: Wanted
    """What was searched for."""
    places: Places
    """[n]: of each distinct embedding now its place among those m, or -1. Each place occurs once."""


class _Lists(NamedTuple):
    """Some rows with their neighbors, sorted."""

    rows: Rows
    faces: Rows
    distances: Float32

    def part(self, places: Places | Flags) -> "_Lists":
        """Some of the entries."""
        return _Lists(self.rows[places], self.faces[places], self.distances[places])

    def joined(self, others: "_Lists") -> "_Lists":
        """These entries and others."""
        rows, faces, distances = (np.concatenate(pair) for pair in zip(self, others, strict=True))
        return _Lists(rows, faces, distances)


class NeighborUpdate:
    """The search among n distinct embeddings. ValueError if the earlier neighbors are damaged."""

    def __init__(self, embeddings: Float32, wanted: Wanted, earlier: Earlier) -> None:
        """`embeddings` is float32 [n, d], each about of length 1; it may be mapped from a file."""
        self._embeddings, self._wanted, self._earlier = embeddings, wanted, earlier
        # Known faces in another order than before count as new: among equal distances they may come before a face that
        # is the last of a row.
        self._places = _in_order(earlier.places)
        self._now, self._now_with_moved = self._inverse(self._places), self._inverse(earlier.places)
        self._new = np.flatnonzero(self._places == _NEW)
        nothing = np.empty(0, np.int32)
        self._added = _Lists(nothing, nothing, np.empty(0, np.float32))  # new faces in rows of known ones

    def _inverse(self, places: Places) -> Places:
        """[m]: the number now of each embedding of before, or -1."""
        now = np.full(len(self._earlier.copies.first), _GONE, np.intp)
        known = np.flatnonzero(places != _NEW)
        now[places[known]] = known
        return now

    @cached_property
    def _exact(self) -> ExactDistances:
        return ExactDistances(self._embeddings)  # reads all embeddings, which `suffices` does not need

    @cached_property
    def anew(self) -> int:
        """About how many rows are searched: the new faces may fill a row that is short without them."""
        return len(self._new) + int(self._short(self._now_with_moved).sum())

    @property
    def suffices(self) -> bool:
        """Whether this is faster than searching everything."""
        return self.anew <= _MOST_ANEW * len(self._embeddings)

    def rows(self, threads: int) -> Iterator[Neighbors]:
        """The rows of all embeddings in order, some thousand at a time. Memory: some 10 bytes for each neighbor of a
        row that is searched, and 20 for each embedding.
        """
        if not self._wanted.kept:  # one face alone
            yield Neighbors(np.zeros(len(self._embeddings) + 1, np.int64), *self._added[1:])
            return
        radius = np.full(len(self._embeddings), -np.inf, np.float32)
        for begin in range(0, len(radius), _ROWS):
            known = self._known_in(begin)
            radius[known] = self._gather(known, self._now)[1]
        new_rows, self._added = self._search(self._new, radius, threads)
        short = np.flatnonzero(self._short(self._now))
        short_rows, _ = self._search(short, np.full_like(radius, -np.inf), threads)
        searched = np.concatenate([self._new, short])
        found = concatenated([*new_rows, *short_rows], len(searched))
        order = np.argsort(searched)
        searched_in_order = searched[order]
        for begin in range(0, len(radius), _ROWS):
            end = min(len(radius), begin + _ROWS)
            first, last = np.searchsorted(searched_in_order, (begin, end))
            yield self._assembled(begin, end, searched_in_order[first:last], order[first:last], found)

    def _assembled(self, begin: int, end: int, searched: Places, places: Places, found: Neighbors) -> Neighbors:
        """The rows from `begin` to before `end`. `searched` are those of them that were searched, whose rows are those
        of `found` at `places`.
        """
        lists, counts, _ = self._merged(begin, np.setdiff1d(self._known_in(begin), searched), self._now)
        kept = _rank(lists.rows) < counts[lists.rows - begin] if len(lists.rows) else np.empty(0, bool)
        lengths = np.diff(found.starts)[places]
        index = _runs(np.asarray(found.starts, np.int64)[places], lengths)
        rows = np.concatenate([lists.rows[kept], np.repeat(searched, lengths).astype(np.int32)])
        order = np.argsort(rows, kind="stable")
        faces = np.concatenate([lists.faces[kept], found.faces[index]])[order]
        distances = np.concatenate([lists.distances[kept], found.distances[index]])[order]
        starts = np.searchsorted(rows[order], np.arange(begin, end + 1))
        return Neighbors(starts.astype(np.int64), faces, distances)

    def _known_in(self, begin: int) -> Places:
        places = self._places[begin : begin + _ROWS]
        return np.flatnonzero(places != _NEW) + begin

    def _short(self, now: Places) -> Flags:
        """[n]: which earlier rows, with the new faces known so far, do not tell all neighbors."""
        short = np.zeros(len(self._embeddings), bool)
        for begin in range(0, len(short), _ROWS):
            short[begin : begin + _ROWS] = self._merged(begin, self._known_in(begin), now)[2]
        return short

    def _gather(self, rows: Places, now: Places) -> tuple[_Lists, Float32, Flags, Float32]:
        """The earlier rows of these faces without those that are gone; then for each: the distance up to which all
        others are listed or may matter, whether it lists all that are within the threshold, and its last distance.
        """
        earlier, wanted = self._earlier, self._earlier.wanted
        place = self._places[rows]
        first = earlier.copies.first[place]
        starts = np.asarray(earlier.neighbors.starts, np.int64)
        begins = starts[first] + (self._counts[place] > 1)
        lengths = starts[first + 1] - begins
        if (lengths < min(wanted.kept, len(self._now) - 1)).any():
            raise ValueError("rows of the earlier neighbors are too short")
        index = _runs(begins, lengths)
        faces, distances = earlier.neighbors.faces[index], earlier.neighbors.distances[index]
        of_row = np.repeat(np.arange(len(rows)), lengths)
        if len(faces) and not (faces.min() >= 0 and faces.max() < len(earlier.copies.number)):
            raise ValueError("the earlier neighbors name faces that do not exist")
        if not ((np.diff(distances) >= 0) | (np.diff(of_row) > 0)).all():
            raise ValueError("the earlier neighbors are not in order")
        last = np.full(len(rows), -np.inf, np.float32)
        some = lengths > 0
        last[some] = distances[(np.cumsum(lengths) - 1)[some]]
        last[lengths == len(self._now) - 1] = np.inf
        within = np.float32(-np.inf if wanted.within is None else wanted.within)
        all_within = (lengths < wanted.most) | (last > within)
        others = now[earlier.copies.number[faces]]
        there = others != _GONE
        lists = _Lists(rows[of_row[there]].astype(np.int32), others[there].astype(np.int32), distances[there])
        return lists, np.where(all_within, np.maximum(last, within), last), all_within, last

    @cached_property
    def _counts(self) -> Places:
        return self._earlier.copies.counts

    def _merged(self, begin: int, rows: Places, now: Places) -> tuple[_Lists, Places, Flags]:
        """The lists of these known faces, which are in the stretch from `begin` on, with the new faces; then for each
        row of the stretch the number of its neighbors, and whether the list does not tell them all.
        """
        size = min(_ROWS, len(self._embeddings) - begin)
        old, _, all_within, last = self._gather(rows, now)
        low, high = np.searchsorted(self._added.rows, (begin, begin + size))
        mine = np.isin(self._added.rows[low:high], rows)
        added = self._added.part(np.flatnonzero(mine) + low)
        lists = old.joined(added)
        is_old = np.arange(len(lists.rows)) < len(old.rows)
        if len(added.rows):
            order = np.lexsort((lists.faces, lists.distances, lists.rows))
            lists, is_old = lists.part(order), is_old[order]
        place = np.searchsorted(rows, lists.rows)
        within, kept, most = self._wanted.within, self._wanted.kept, self._wanted.most
        certain = lists.distances < last[place]
        # At the last distance there may be others that are not listed, but these come behind.
        certain |= (lists.distances == last[place]) & is_old
        near = np.zeros(len(rows), np.intp)
        if within is not None:
            is_near = lists.distances <= np.float32(within)
            certain |= is_near & all_within[place]
            near = np.bincount(place[is_near], minlength=len(rows))
        counts = np.maximum(kept, np.minimum(near, most))
        # Of each row up to the first that is not certain.
        doubtful = np.flatnonzero(~certain)
        prefix = np.bincount(place, minlength=len(rows))
        np.minimum.at(prefix, place[doubtful], _rank(lists.rows)[doubtful])
        short = (prefix < counts) | ~(all_within | (near >= most))
        full_counts, full_short = np.zeros(size, np.intp), np.zeros(size, bool)
        full_counts[rows - begin], full_short[rows - begin] = counts, short
        return lists, full_counts, full_short

    def _search(self, rows: Places, radius: Float32, threads: int) -> tuple[list[Neighbors], _Lists]:
        """The neighbors of these faces among all; and where these are nearer to another face than its `radius`."""
        wanted = Wanted(self._wanted.kept + 1, self._wanted.within, self._wanted.most + 1)  # each face finds itself
        found: list[Neighbors] = []
        added: list[tuple[Rows, Rows]] = []
        columns = divide(len(self._embeddings), _COLUMNS)
        outside = np.where(radius == -np.inf, np.inf, -(radius.astype(np.float64) ** 2) / 2).astype(np.float32)
        for begin in range(0, len(rows), _ROWS):
            these = rows[begin : begin + _ROWS].astype(np.int32)
            mine = np.asarray(self._embeddings[these])
            parts: list[Candidates] = []
            for block in columns:
                both = np.concatenate([mine, self._embeddings[block.start : block.stop]])
                sides = range(len(these)), range(len(these), len(both))
                known = [parts, [_bounds_alone(outside[block.start : block.stop])]]
                of_rows, of_columns = screen_tile(both, *sides, wanted, threads, known)
                parts.append(_without_themselves(of_rows, these, block.start - len(these)))
                if len(parts) == _MOST_PARTS:
                    parts = [merge(parts, self._wanted)]
                others = np.repeat(np.arange(block.start, block.stop, dtype=np.int32), np.diff(of_columns.starts))
                added.append((others, these[of_columns.faces]))
            found.append(nearest(self._exact, these, parts, self._wanted))
        nothing = np.empty(0, np.int32)
        others, faces = (np.concatenate(pair) for pair in zip((nothing, nothing), *added, strict=True))
        order = np.argsort(others, kind="stable")
        others, faces = others[order], faces[order]
        distances = self._exact.of_pairs(others, faces)
        near = distances <= radius[others]
        return found, _Lists(others, faces, distances).part(near)


def _in_order(places: Places) -> Places:
    """The places, without as few as possible (-1 instead) so that they go up."""
    known = np.flatnonzero(places != _NEW)
    if (np.diff(places[known]) > 0).all():
        return places
    ends: list[int] = []  # the smallest end of a sequence of each length, and whose it is
    at: list[int] = []
    before = np.full(len(places), -1, np.intp)
    for row, place in zip(known.tolist(), places[known].tolist(), strict=True):
        length = bisect_left(ends, place)
        before[row] = at[length - 1] if length else -1
        ends[length : length + 1], at[length : length + 1] = [place], [row]
    kept, row = np.full(len(places), _NEW, np.intp), at[-1]
    while row != -1:
        kept[row], row = places[row], int(before[row])
    return kept


def _bounds_alone(bound: Float32) -> Candidates:
    nothing = np.zeros(len(bound) + 1, np.int64), np.empty(0, np.int32), np.empty(0, np.float32)
    return Candidates(*nothing, bound, 0.0)


def _without_themselves(found: Candidates, rows: Rows, shift: int) -> Candidates:
    """Candidates by face, without the faces themselves."""
    place = np.repeat(np.arange(len(rows)), np.diff(found.starts))
    faces = (found.faces + np.int32(shift)).astype(np.int32)
    keep = faces != rows[place]
    return Candidates(starts_of(place[keep], len(rows)), faces[keep], found.closeness[keep], found.bound, found.error)


def _rank(rows: Rows) -> Places:
    """The place of each entry within its row; `rows` is sorted."""
    if not len(rows):
        return np.empty(0, np.intp)
    first = np.flatnonzero(np.concatenate([[True], np.diff(rows) != 0]))
    return np.arange(len(rows)) - np.repeat(first, np.diff(np.concatenate([first, [len(rows)]])))


def _runs(begins: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The numbers from each of `begins` on, as many as `lengths` says."""
    ends = np.cumsum(lengths)
    total = int(ends[-1]) if len(ends) else 0
    return np.repeat(begins - (ends - lengths), lengths) + np.arange(total)
