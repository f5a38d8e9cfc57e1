"""Which pieces of speech are of one speaker: clustering by embeddings."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sttlab.speakers.base import Vectors

APART = 1e6  # distance of two that are known to be different: no mean of many hides it
ENOUGH = 1.5  # times as much as a founder says, a group says in all
ROUNDS = 5  # in which pieces go to the speaker that they are closest to


def group(
    vectors: Vectors,
    weights: NDArray[np.float64],
    *,
    same: float,
    least: float,
    count: int | None = None,
    fixed: NDArray[np.intp] | None = None,
) -> NDArray[np.intp]:
    """Group embeddings by speaker, by average linkage of cosines.

    Parameters
    ----------
    vectors : ndarray, shape (n, size)
        Of length 1 each.
    weights : ndarray, shape (n,)
        How much speech is behind each, in seconds. What is below `least` founds no group, and a
        group says `ENOUGH` times as much in all.
    same : float
        Mean dot product from which two groups are one.
    least : float
        Least weight of a group; smaller ones go to the closest other, if there is one.
    count : int, optional
        How many groups there are; `same` then doesn't matter.
    fixed : ndarray, shape (n,), optional
        Numbers of those of which it is known which are of one speaker and which are of
        different ones; -1 for the others.

    Returns
    -------
    ndarray, shape (n,)
        Number of each one's group, from 0 without gaps, in order of first appearance.
    """
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform

    if fixed is None:
        fixed = np.full(len(vectors), -1)
    founders = np.flatnonzero((weights >= least) | (fixed >= 0))
    if len(founders) < 2:
        return np.zeros(len(vectors), np.intp)
    distances = 1.0 - vectors[founders] @ vectors[founders].T
    known = fixed[founders]
    differ = (known[:, np.newaxis] >= 0) & (known >= 0) & (known[:, np.newaxis] != known)
    distances[differ] = APART
    np.fill_diagonal(distances, 0.0)
    tree = linkage(squareform(np.maximum(distances, 0.0), checks=False), "average")
    limit, criterion = (1.0 - same, "distance") if count is None else (count, "maxclust")
    groups = np.full(len(vectors), -1)
    groups[founders] = fcluster(tree, limit, criterion)
    if count is None:
        _dissolve(groups, weights, fixed, ENOUGH * least)
    return _in_order(_joined(_to_closest(vectors, weights, groups, fixed), fixed))


def centres(vectors: Vectors, weights: NDArray[np.float64], groups: NDArray[np.intp]) -> Vectors:
    """Return the mean embedding of each group, of length 1."""
    shares = (groups == np.unique(groups[groups >= 0])[:, np.newaxis]) * weights
    sums = shares @ vectors
    found: Vectors = sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-9)
    return found.astype(np.float32)


def _dissolve(
    groups: NDArray[np.intp],
    weights: NDArray[np.float64],
    fixed: NDArray[np.intp],
    enough: float,
) -> None:
    """Dissolve groups that say too little, but for the largest and those of known voices."""
    names, inverse = np.unique(groups, return_inverse=True)
    said = np.bincount(inverse, weights)
    said[names < 0] = 0.0
    few = (said < enough) & (np.arange(len(names)) != np.argmax(said))
    few[np.isin(names, groups[fixed >= 0])] = False
    groups[few[inverse]] = -1


def _to_closest(
    vectors: Vectors,
    weights: NDArray[np.float64],
    groups: NDArray[np.intp],
    fixed: NDArray[np.intp],
) -> NDArray[np.intp]:
    """Have each embedding join the group whose mean is closest, but for the known ones."""
    for _ in range(ROUNDS):
        names = np.unique(groups[groups >= 0])
        alike = vectors @ centres(vectors, weights, groups).T
        closest = names[np.argmax(alike, axis=1)]
        closest[fixed >= 0] = groups[fixed >= 0]
        if (closest == groups).all():
            break
        groups = closest
    return groups


def _joined(groups: NDArray[np.intp], fixed: NDArray[np.intp]) -> NDArray[np.intp]:
    """Join the groups of voices that are known to be of one speaker, however they sound."""
    groups = groups.copy()
    for number in np.unique(fixed[fixed >= 0]):
        mine = np.unique(groups[fixed == number])
        groups[np.isin(groups, mine)] = mine[0]
    return groups


def _in_order(groups: NDArray[np.intp]) -> NDArray[np.intp]:
    _, first, inverse = np.unique(groups, return_index=True, return_inverse=True)
    rank = np.argsort(np.argsort(first))
    found: NDArray[np.intp] = rank[inverse]
    return found
