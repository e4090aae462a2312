"""Learning: the pre-trained model, fine-tuning, the n-gram baseline and their blend. Needs `[train]`."""

import os

# How long torch's threads keep a core while they wait for work, in rounds; read when torch is loaded. By
# default that is milliseconds after every product: beside another program that trains, both wait for one
# another, and a small step took 3 to 60 times as long. With this it takes three times, and alone no longer
# (docs/experiments.md).
os.environ.setdefault("GOMP_SPINCOUNT", "4000")
