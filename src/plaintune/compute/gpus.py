"""What each GPU can do for the bundled model: an estimate, and what it rests on.

Rate = utilisation × the card's published float32 peak ÷ the work that one token costs.

- One token of MiniLM-L6 (6 layers, 384 wide) costs 6 × 10.6 million multiplications forward and backward,
  about a tenth more for attention: 70 million.
- Utilisation 0.4 of the float32 peak. Two figures stand behind it: Sentence-Transformers publishes 14,200
  sentences a second for this model on a V100, which is half of its float32 peak at 25 tokens a sentence; and
  our own loop reaches 0.64 of the measured peak of matrix products on a CPU (docs/experiments.md). Matrix
  units promise eight times more, but a model this small leaves them waiting for memory.
- Not measured by us on any of these cards: plaintune says "about" wherever it shows a time from here.
"""

from __future__ import annotations

from dataclasses import dataclass

WORK_PER_TOKEN = 70e6
UTILISATION = 0.4


@dataclass(frozen=True)
class Gpu:
    """A card that clouds rent out; the figures are its maker's data sheet."""

    name: str
    memory_gib: int
    float32_peak: float  # operations a second, without matrix units

    @property
    def tokens_per_second(self) -> float:
        """How many tokens of training text it gets through, about."""
        return UTILISATION * self.float32_peak / WORK_PER_TOKEN


GPUS = (
    Gpu("T4", 16, 8.1e12),
    Gpu("L4", 24, 30.3e12),
    Gpu("A10G", 24, 31.2e12),
    Gpu("V100", 16, 15.7e12),
    Gpu("A6000", 48, 38.7e12),
    Gpu("A100", 40, 19.5e12),
    Gpu("A100-80GB", 80, 19.5e12),
    Gpu("L40S", 48, 91.6e12),
    Gpu("H100", 80, 66.9e12),
)
BY_NAME = {gpu.name: gpu for gpu in GPUS}
