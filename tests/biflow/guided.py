"""A small reverse model that is trained with guidance."""

from nfbench.config import ReverseConfig, TrainingConfig

W_MAX = 2.0
GUIDED = ReverseConfig(
    width=16, layers_per_group=1, head_dim=8, guidance_max=W_MAX,
    training=TrainingConfig(steps=1, batch_size=5, optimizer="adamw", learning_rate=1e-3),
)  # fmt: skip
