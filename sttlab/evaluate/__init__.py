"""How good it is: labelled truth, scores, sweeps."""
