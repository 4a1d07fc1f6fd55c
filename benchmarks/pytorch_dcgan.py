"""The DCGAN of PyTorch's examples, written plainly, to compare the time of a step with.

The widths are those of the network to compare with; everything else is as PyTorch users write it:
the discriminator's losses on real and on generated images go backward one after the other, and the
generated images serve both updates. No part of the project's own code is used.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import torch
from torch import nn


def widths(image_size: int, filters: int) -> list[int]:
    """Channels, the largest map first."""
    return [min(filters * 2**level, 512) for level in range(int(math.log2(image_size)) - 2)]


def build_generator(latent_dim: int, channels: list[int]) -> nn.Module:
    """Latent vectors (B, latent_dim, 1, 1) to images (B, 3, H, W)."""
    channels = channels[::-1]
    modules: list[nn.Module] = [
        nn.ConvTranspose2d(latent_dim, channels[0], 4, 1, 0, bias=False),
        nn.BatchNorm2d(channels[0]),
        nn.ReLU(inplace=True),
    ]
    for before, after in itertools.pairwise(channels):
        modules += [
            nn.ConvTranspose2d(before, after, 4, 2, 1, bias=False),
            nn.BatchNorm2d(after),
            nn.ReLU(inplace=True),
        ]
    modules += [nn.ConvTranspose2d(channels[-1], 3, 4, 2, 1), nn.Tanh()]
    return nn.Sequential(*modules)


def build_discriminator(channels: list[int], dropout: float) -> nn.Module:
    """Images (B, 3, H, W) to logits (B, 1, 1, 1)."""
    modules: list[nn.Module] = []
    for level, (before, after) in enumerate(zip([3, *channels], channels, strict=False)):
        modules.append(nn.Conv2d(before, after, 4, 2, 1, bias=level == 0))
        if level:
            modules.append(nn.BatchNorm2d(after))
        modules.append(nn.LeakyReLU(0.2, inplace=True))
        if dropout:
            modules.append(nn.Dropout(dropout))
    return nn.Sequential(*modules, nn.Conv2d(channels[-1], 1, 4, 1, 0))


def initialize(module: nn.Module) -> None:
    """N(0, 0.02) for convolutions, N(1, 0.02) for the scales of batch normalisation."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0.0, 0.02)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
        nn.init.zeros_(module.bias)


def make_step(
    image_size: int,
    batch_size: int,
    filters: int,
    dropout: float,
    precision: str,
    memory_format: str,
    is_compiled: bool = False,
    latent_dim: int = 100,
) -> Callable[[], tuple[float, float]]:
    """One alternation, eager or with both networks compiled.

    Args:
        image_size: side of the images in pixels.
        batch_size: real images, and as many generated ones.
        filters: channels of the largest map.
        dropout: of the discriminator; PyTorch's example has none.
        precision: float32, or bfloat16 by autocast.
        memory_format: ``channels_last`` or ``contiguous_format``.
        is_compiled: whether `torch.compile` gets both networks; the first step takes long then.
        latent_dim: length of a latent vector.

    Returns:
        The step, which returns the losses of discriminator and generator.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    layout = getattr(torch, memory_format)
    torch.manual_seed(0)
    channels = widths(image_size, filters)
    generator = build_generator(latent_dim, channels).apply(initialize)
    discriminator = build_discriminator(channels, dropout).apply(initialize)
    generator.to(device, memory_format=layout)
    discriminator.to(device, memory_format=layout)
    # The fused one is the fastest of its implementations.
    generator_optimizer, discriminator_optimizer = (
        torch.optim.Adam(network.parameters(), lr=2e-4, betas=(0.5, 0.999), fused=True)
        for network in (generator, discriminator)
    )
    if is_compiled:
        generator, discriminator = torch.compile(generator), torch.compile(discriminator)
    criterion = nn.BCEWithLogitsLoss()
    images = torch.randint(
        0, 256, (4 * batch_size, 3, image_size, image_size), dtype=torch.uint8, device=device
    )
    real_label = torch.ones(batch_size, device=device)
    fake_label = torch.zeros(batch_size, device=device)

    def loss_of(batch: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        with torch.autocast(device, torch.bfloat16, enabled=precision == "bfloat16"):
            logits = discriminator(batch)
        return criterion(logits.flatten().float(), label)

    def step() -> tuple[float, float]:
        chosen = torch.randint(0, len(images), (batch_size,), device=device)
        real_images = (images[chosen].float() / 127.5 - 1).contiguous(memory_format=layout)

        # (1) Update D: maximise log D(x) + log(1 - D(G(z))).
        discriminator.zero_grad()
        real_loss = loss_of(real_images, real_label)
        real_loss.backward()
        latents = torch.randn(batch_size, latent_dim, 1, 1, device=device)
        with torch.autocast(device, torch.bfloat16, enabled=precision == "bfloat16"):
            fake_images = generator(latents)
        fake_loss = loss_of(fake_images.detach(), fake_label)
        fake_loss.backward()
        discriminator_optimizer.step()

        # (2) Update G: maximise log D(G(z)).
        generator.zero_grad()
        generator_loss = loss_of(fake_images, real_label)
        generator_loss.backward()
        generator_optimizer.step()
        return real_loss.item() + fake_loss.item(), generator_loss.item()

    return step
