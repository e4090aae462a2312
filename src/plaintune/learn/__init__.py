"""Learning: the pre-trained model, fine-tuning, the n-gram baseline and their blend. Needs `[train]`."""
