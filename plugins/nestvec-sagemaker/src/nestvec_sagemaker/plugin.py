"""What the SageMaker embedder registers. Light on purpose: boto3 is imported when an embedder opens."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nestvec.contract import EmbedderPlugin
from nestvec.hookspecs import hookimpl
from nestvec_sagemaker.options import SageMakerOptions, capabilities

if TYPE_CHECKING:
    from nestvec_sagemaker.embedder import SageMakerEmbedder

_EXAMPLE = """\
[embedders.sagemaker]
use = "sagemaker"
endpoint_name = "jina-embeddings-v3"
region = "eu-west-1"
"""


def open_embedder(options: SageMakerOptions) -> SageMakerEmbedder:
    """Find the credentials; connect when the first text comes."""
    from nestvec_sagemaker.embedder import SageMakerEmbedder

    return SageMakerEmbedder(options)


@hookimpl
def nestvec_embedder() -> EmbedderPlugin:
    """The models of the Jina embeddings API in your own AWS account."""
    return EmbedderPlugin(
        name="sagemaker",
        summary="jina embedding models on an AWS SageMaker endpoint.",
        options=SageMakerOptions,
        capabilities=capabilities,
        open=open_embedder,
        example=_EXAMPLE,
    )
