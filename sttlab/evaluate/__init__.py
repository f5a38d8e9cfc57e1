"""Evaluation: labelled truth, scores of utterances, word error rates, sweeps."""
