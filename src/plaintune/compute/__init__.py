"""On whose machine, how long and for how much. Nothing else in plaintune talks to a cloud."""
