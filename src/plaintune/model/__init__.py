"""The trained model on disk and at work: no torch, no transformers, no scikit-learn in here."""
