"""Weights published by others: their addresses, digests, licences and citations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from impasto.networks.layers import CONVS

__all__ = ["PUBLISHED", "Published", "Source"]


@dataclass(frozen=True)
class Source:
    """One public copy of a file.

    Attributes:
        url: its address.
        bytes: its exact length, if that is publicly known.
        sha256: its SHA-256 in hex, or as many of the first digits as are publicly known.
        md5: its MD5, if the publisher states only that.
    """

    url: str
    bytes: int | None = None
    sha256: str = ""
    md5: str = ""

    @property
    def filename(self) -> str:
        return self.url.rsplit("/", 1)[-1]


@dataclass(frozen=True)
class Published:
    """Weights that others publish and Impasto downloads on demand.

    Attributes:
        summary: one line for lists.
        sources: in the order in which they are tried; their file formats may differ.
        bytes: size of the convolutions, the part that is kept.
        licence: of the weights, as their publisher states it.
        citation: one line.
        layers: the convolutions of a complete copy.
        fingerprints: tensor → SHA-256 of its values (`checkpoints.fingerprint`), where known.
    """

    summary: str
    sources: tuple[Source, ...]
    bytes: int
    licence: str
    citation: str
    layers: tuple[str, ...] = CONVS
    fingerprints: Mapping[str, str] = field(default_factory=dict)


_PAPER = (
    "K. Simonyan and A. Zisserman, Very Deep Convolutional Networks for Large-Scale Image Recognition, "
    "ICLR 2015, arXiv:1409.1556"
)

# Computed during development from the original weights of conv1_1 to conv3_4. The values of conv1_1 agree, to
# all printed digits, with those that the MatConvNet and Keras distributions show publicly. In any file format
# these fingerprints verify the network, its channel order (BGR) and the orientation of the kernels. Deeper
# layers are verified by the digest of the file alone.
_ORIGINAL = {
    "conv1_1.weight": "f8ee325686ded00722375b5a05fd287de09be3bd3b1853cb1c5cf29996394684",
    "conv1_1.bias": "f8941ad2059e42ccbd36bbbd2d6ac03364baaeabae90033573809fade7939de1",
    "conv1_2.weight": "6359a74e0dcd6dd65c6d6cc22741fc91208dcdc6a17dacda681a7a92ade5205e",
    "conv1_2.bias": "5761d90241981f04d827da94d22b213443a0aa5179612540d778137c76a20812",
    "conv2_1.weight": "b041ae17dca5065435e6f7317d98c2d23461a7955924571f5e1fb6dcc312f918",
    "conv2_1.bias": "4b770cb032dabd86141d9c219249d2a9613004918c07a69d27078b11cbed9ccf",
    "conv2_2.weight": "f4ce3ca269e6523b53a9805edba391deb98ee84cd2396a30fb5f9ec4e4931a0a",
    "conv2_2.bias": "2b817920c16e27b478c5692794aced5a8e23769480bba794c0d8ad8190934d03",
    "conv3_1.weight": "4ce2a8bd985dc3ace77eaf79d973b9dfa804a8a29f0efb1633827eef054acfb9",
    "conv3_1.bias": "b00b2e1b3f88d36476bebfaf5f787d8be0f4fc2f916e746b87c57b82d6b6b0dd",
    "conv3_2.weight": "5e082fa2a7741488a5d63566620123add625bdd48fc18089029e7b623c9d59e8",
    "conv3_2.bias": "8a2d2d519f265c1203c19d34b221231a9e04e84fe15000a7c0a6b3650094841f",
    "conv3_3.weight": "01ffd66f0d43827db1358c3c939515eeaf94e219c787783d4c8711da61c867ce",
    "conv3_3.bias": "9af5673e3e3a99dc8bc73c6247f71cf8fab3ecc529a5afd2456c76067b99523b",
    "conv3_4.weight": "4caecc66b12469afd6bee7df7d68fff6ca74adca97f9b5a5d07524b744b8c5ed",
    "conv3_4.bias": "2f7261deddc1711356d82920b6a36640316151042ef30c37da5b9730cccce935",
}

_KERAS_FILE = "vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5"
_KERAS_MD5 = "253f8cb515780f3b799900260a226db6"

#: Name → weights that can be downloaded. The digests are those stated in public sources.
PUBLISHED: dict[str, Published] = {
    # Input: RGB in [0, 1], ImageNet mean and standard deviation.
    "vgg19": Published(
        summary="VGG-19, PyTorch's own training (torchvision IMAGENET1K_V1)",
        sources=(
            # Several public projects state this SHA-256. It begins with the eight digits in the file's name,
            # as torchvision's digests do.
            Source(
                "https://download.pytorch.org/models/vgg19-dcbb9e9d.pth",
                bytes=574_673_361,
                sha256="dcbb9e9dad569fff7a846263a77324fc34978fea2bfb039c012d710e1776ae44",
            ),
            # timm's copy of the same weights; the SHA-256 is that of its Git LFS page.
            Source(
                "https://huggingface.co/timm/vgg19.tv_in1k/resolve/"
                "128d4708565b3a414bcbb9bbad440b2fe37b9f18/model.safetensors",
                sha256="11aea017b543ff59233749d8f1cf544cda749378f5790d2fedab841fb86b7669",
            ),
        ),
        bytes=80_097_536,
        licence="BSD-3-Clause (torchvision)",
        citation=_PAPER,
    ),
    # Input: BGR in 0–255, minus (103.939, 116.779, 123.68).
    "vgg19-original": Published(
        summary="VGG-19 as published by Oxford (the Caffe weights)",
        sources=(
            # Keras publishes only an MD5, the same in all its versions; no public SHA-256 is known.
            Source(
                f"https://storage.googleapis.com/tensorflow/keras-applications/vgg19/{_KERAS_FILE}",
                bytes=80_134_624,
                md5=_KERAS_MD5,
            ),
            Source(
                f"https://github.com/fchollet/deep-learning-models/releases/download/v0.1/{_KERAS_FILE}",
                bytes=80_134_624,
                md5=_KERAS_MD5,
            ),
            # J. Johnson's conversion. Its script names the file after the first eight digits of the SHA-256;
            # the others are not known to be published.
            Source("https://web.eecs.umich.edu/~justincj/models/vgg19-d01eb7cb.pth", sha256="d01eb7cb"),
            # The same weights, saved again by neural-style-pt with the classifier's layers renamed, hence
            # another digest under the same name. Three public sources state it.
            Source(
                "https://huggingface.co/spaces/AfrodreamsAI/afrodreams/resolve/"
                "8970ea4f6cc349d826137af0866565df84f0a0ed/vgg19-d01eb7cb.pth",
                bytes=574_679_411,
                sha256="dd893d447ece014ad32d71b8d32b1e0b5c09b912a2866990c286fdeebd368d74",
            ),
        ),
        bytes=80_097_536,
        licence="CC BY 4.0 (Visual Geometry Group, University of Oxford)",
        citation=_PAPER,
        fingerprints=_ORIGINAL,
    ),
}
