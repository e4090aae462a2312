"""What people touch: no machine learning in here."""
