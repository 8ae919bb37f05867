"""The seven networks; four of them in two sizes, version 1 and version 2, with the same inputs and outputs.

They are built for a CPU that answers thousands of requests a second: a strided stem, most of the
work on a 16x16 or 24x24 grid, one step back up at the end, a dozen plain operators. Batch
normalisation is there while training and is folded into the convolution before it on export.
"""

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_weights


class Block(nn.Module):
    """Convolution (or its transpose), batch normalisation, ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1, up: bool = False):
        super().__init__()
        kind = nn.ConvTranspose2d if up else nn.Conv2d
        padding = 0 if up else (kernel - 1) // 2 if kernel % 2 else 0
        self.conv = kind(inputs, outputs, kernel, stride, padding, bias=False)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, x):
        return torch.relu(self.norm(self.conv(x)))

    def fold(self):
        """Moves the normalisation into the convolution's weights; for export only."""
        n = self.norm
        transpose = isinstance(self.conv, nn.ConvTranspose2d)
        weight, bias = fuse_conv_bn_weights(
            self.conv.weight, None, n.running_mean, n.running_var, n.eps, n.weight, n.bias, transpose
        )
        self.conv.weight, self.conv.bias = weight, bias
        self.norm = nn.Identity()


def folded(model: nn.Module) -> nn.Module:
    model.eval()
    for module in model.modules():
        if isinstance(module, Block):
            module.fold()
    return model


class RoadMask(nn.Module):
    """image [N,3,64,64] -> mask [N,1,64,64], the probability that a pixel is road."""

    def __init__(self, version: int):
        super().__init__()
        self.deep = version >= 2
        self.stem = Block(3, 8, stride=2)
        self.second = Block(8, 16, stride=2)
        if self.deep:
            self.down = Block(16, 32, stride=2)
            self.wide = Block(32, 32)
            self.up = Block(32, 16, kernel=2, stride=2, up=True)
        else:
            self.flat = Block(16, 16)
        self.head = nn.ConvTranspose2d(16, 1, 4, 4)
        if self.deep:
            self.edges = nn.ConvTranspose2d(8, 1, 2, 2)

    def logits(self, image):
        stem = self.stem(image)
        fine = self.second(stem)
        if not self.deep:
            return self.head(fine + self.flat(fine))
        return self.head(fine + self.up(self.wide(self.down(fine)))) + self.edges(stem)

    def forward(self, image):
        return torch.sigmoid(self.logits(image))


class Surface(nn.Module):
    """image [N,3,64,64] and mask [N,1,64,64] -> probabilities [N,5]."""

    def __init__(self, version: int):
        super().__init__()
        wide = 32 if version >= 2 else 16
        self.stem = Block(4, 8, stride=2)
        self.second = Block(8, 16, stride=2)
        self.down = Block(16, wide, stride=2)
        self.last = Block(wide, wide)
        self.classes = nn.Linear(wide, 5)

    def logits(self, image, mask):
        x = self.stem(torch.cat([image, mask], 1))
        x = self.last(self.down(self.second(x)))
        return self.classes(torch.flatten(nn.functional.adaptive_avg_pool2d(x, 1), 1))

    def forward(self, image, mask):
        return torch.softmax(self.logits(image, mask), 1)


class LandingSafety(nn.Module):
    """image [N,3,96,96] -> classes [N,4,96,96], softmax over axis 1."""

    def __init__(self, version: int):
        super().__init__()
        self.deep = version >= 2
        self.stem = Block(3, 8, stride=2)
        self.second = Block(8, 24 if self.deep else 16, stride=2)
        if self.deep:
            self.down = Block(24, 32, stride=2)
            self.wide = Block(32, 32)
            self.up = Block(32, 24, kernel=2, stride=2, up=True)
        else:
            self.flat = Block(16, 16)
        self.head = nn.ConvTranspose2d(24 if self.deep else 16, 4, 4, 4)
        if self.deep:
            self.edges = nn.ConvTranspose2d(8, 4, 2, 2)

    def logits(self, image):
        stem = self.stem(image)
        fine = self.second(stem)
        if not self.deep:
            return self.head(fine + self.flat(fine))
        return self.head(fine + self.up(self.wide(self.down(fine)))) + self.edges(stem)

    def forward(self, image):
        return torch.softmax(self.logits(image), 1)


class LandingSpot(nn.Module):
    """safety [N,4,96,96] -> centre [N,2], radius [N,1], confidence [N,1].

    Three maps on a 24x24 grid: how good a spot each cell is, how much room there is around it, and
    how likely a disc there is really safe. A softmax over the first map weighs the other two and the
    cells' own places.
    """

    GRID = 24

    def __init__(self, version: int):
        super().__init__()
        self.deep = version >= 2
        width = 16 if self.deep else 8
        self.stem = Block(4, width, kernel=4, stride=4)
        self.down = Block(width, 2 * width, stride=2)
        self.flat = Block(2 * width, 2 * width)
        if self.deep:
            self.deeper = Block(32, 32, stride=2)
            self.deepest = Block(32, 32)
            self.rise = Block(32, 32, kernel=2, stride=2, up=True)
        self.up = Block(2 * width, width, kernel=2, stride=2, up=True)
        self.last = Block(width, width)
        self.score = nn.Conv2d(width, 1, 1)
        self.room = nn.Conv2d(width, 1, 1)
        self.trust = nn.Conv2d(width, 1, 1)
        axis = (torch.arange(self.GRID) + 0.5) / self.GRID
        y, x = torch.meshgrid(axis, axis, indexing="ij")
        self.register_buffer("places", torch.stack([x.flatten(), y.flatten()], 1))

    def maps(self, safety):
        fine = self.stem(safety)
        coarse = self.flat(self.down(fine))
        if self.deep:
            coarse = coarse + self.rise(self.deepest(self.deeper(coarse)))
        x = self.last(fine + self.up(coarse))
        return [torch.flatten(head(x), 1) for head in (self.score, self.room, self.trust)]

    def read(self, score, room, trust):
        weight = torch.softmax(score, 1)
        centre = weight @ self.places
        return centre, (weight * room).sum(1, keepdim=True), (weight * trust).sum(1, keepdim=True)

    def forward(self, safety):
        centre, radius, trust = self.read(*self.maps(safety))
        return centre, torch.relu(radius), torch.sigmoid(trust)


class SurfaceSmall(nn.Module):
    """image [N,3,64,64] -> probabilities [N,5]; without a mask, for a quarter of the work of the two networks."""

    def __init__(self, version: int):
        super().__init__()
        self.stem = Block(3, 8, stride=2)
        self.second = Block(8, 16, stride=2)
        self.down = Block(16, 24, stride=2)
        self.classes = nn.Linear(48, 5)

    def logits(self, image):
        x = self.down(self.second(self.stem(image)))
        # The mean says what most of the picture is like, the maximum finds the road in it.
        pools = nn.functional.adaptive_avg_pool2d(x, 1), nn.functional.adaptive_max_pool2d(x, 1)
        return self.classes(torch.flatten(torch.cat(pools, 1), 1))

    def forward(self, image):
        return torch.softmax(self.logits(image), 1)


class SignDetector(nn.Module):
    """image [N,3,160,160] -> boxes [N,5,400]: for each cell of a 20x20 grid the middle, the width and the
    height of the box that it says, in pixels of the image, and the score that it is a sign."""

    STRIDE, GRID = 8, 20

    def __init__(self, version: int):
        super().__init__()
        self.stem = Block(3, 8, stride=2)
        self.second = Block(8, 16, stride=2)
        self.third = Block(16, 32, stride=2)
        self.flat = Block(32, 32)
        self.down = Block(32, 48, stride=2)
        self.wide = Block(48, 48)
        self.up = Block(48, 32, kernel=2, stride=2, up=True)
        self.last = Block(32, 32)
        self.head = nn.Conv2d(32, 5, 1)
        axis = (torch.arange(self.GRID) + 0.5) * self.STRIDE
        y, x = torch.meshgrid(axis, axis, indexing="ij")
        self.register_buffer("cells", torch.stack([x.flatten(), y.flatten()])[None])
        with torch.no_grad():
            self.head.bias.copy_(torch.tensor([1.0, 1.0, 1.0, 1.0, -4.0]))

    def maps(self, image):
        """Left, top, right and bottom of each cell's box from the cell, in pixels, and the logit of its score."""
        fine = self.flat(self.third(self.second(self.stem(image))))
        x = self.last(fine + self.up(self.wide(self.down(fine))))
        x = self.head(x).reshape(-1, 5, self.GRID * self.GRID)
        return nn.functional.softplus(x[:, :4]) * self.STRIDE, x[:, 4:]

    def forward(self, image):
        reach, score = self.maps(image)
        before, after = reach[:, :2], reach[:, 2:]
        return torch.cat([self.cells + (after - before) * 0.5, before + after, torch.sigmoid(score)], 1)


class SignReader(nn.Module):
    """image [N,3,32,32], what was cut out around a sign -> probabilities [N,10] of its kinds."""

    def __init__(self, version: int):
        super().__init__()
        self.stem = Block(3, 16, stride=2)
        self.second = Block(16, 32, stride=2)
        self.down = Block(32, 48, stride=2)
        self.hidden = nn.Linear(48 * 16, 48)
        self.kinds = nn.Linear(48, 10)

    def logits(self, image):
        x = self.down(self.second(self.stem(image)))
        return self.kinds(torch.relu(self.hidden(torch.flatten(x, 1))))

    def forward(self, image):
        return torch.softmax(self.logits(image), 1)


MODELS = {
    "road-mask": RoadMask,
    "surface": Surface,
    "surface-small": SurfaceSmall,
    "landing-safety": LandingSafety,
    "landing-spot": LandingSpot,
    "sign-detector": SignDetector,
    "sign-reader": SignReader,
}
