"""A distributed strategy for aligners with and without gradients."""

from lightning.pytorch.strategies import DDPStrategy


class AlignerDDP(DDPStrategy):
    """DDP that leaves a module without trainable parameters unwrapped.

    ``DistributedDataParallel`` refuses such a module. It has no gradient to average: it adds its sums over
    processes itself, before it solves.
    """

    def configure_ddp(self) -> None:
        if any(p.requires_grad for p in self.model.parameters()):  # type: ignore[union-attr]
            super().configure_ddp()
