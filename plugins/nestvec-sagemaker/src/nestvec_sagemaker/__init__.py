"""jina embedding models served by an AWS SageMaker endpoint, as an embedder of nestvec."""
