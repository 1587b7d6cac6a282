"""The AWS side: credentials, a client without retries of its own, one request."""

from __future__ import annotations

import time
from typing import Any

import boto3
from botocore import exceptions as boto
from botocore.config import Config
from botocore.parsers import ResponseParserError

from nestvec._limits import in_bytes
from nestvec.errors import EmbedderDenied, EmbedderInvalidReply, SecretError
from nestvec.masking import presentable, remember
from nestvec_sagemaker.errors import CREDENTIALS, SageMakerEndpoint, discreet, failure, misconfigured, refusal
from nestvec_sagemaker.options import SageMakerOptions

_CONNECT = 10.0
#: Bytes read at once: between two reads the time is looked at.
_PART = 4096
_CHAIN = "environment, AWS files, SSO, container and instance roles"


class RuntimeClient:
    """A client of the SageMaker runtime. Safe for threads. Finding the credentials may ask the instance's metadata."""

    def __init__(self, options: SageMakerOptions) -> None:
        self._options = options
        try:
            session = boto3.Session(profile_name=options.profile, region_name=options.region)
            self._credentials = session.get_credentials()
            self._client = session.client(
                "sagemaker-runtime", endpoint_url=options.endpoint_url, config=_config(options)
            )
        except (*CREDENTIALS, boto.ClientError, OSError) as error:  # a program that makes credentials may be missing
            raise SecretError(f"AWS credentials cannot be used: {error}; renew them, or set profile") from error
        except (boto.BotoCoreError, ValueError) as error:  # the client checks addresses with ValueError
            raise misconfigured(error, options) from error
        if self._credentials is None:
            self._client.close()
            raise SecretError(
                f"no AWS credentials found ({_CHAIN}); set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or profile"
            )
        self.place = SageMakerEndpoint(options, self._client.meta.region_name)

    def invoke(self, body: bytes) -> bytes:
        """One request, sent once. Raises `EmbedderError`."""
        self._remember()
        try:
            answer = self._client.invoke_endpoint(**self._named(), Body=body)
            content = self._whole(answer["Body"])
        except boto.ClientError as error:
            raise refusal(error, self.place) from error
        except boto.BotoCoreError as error:
            error.args = (discreet(str(error)),)
            raise failure(error, self.place) from error
        except (ResponseParserError, UnicodeDecodeError) as error:
            told = f"{self.place} answered in no form of AWS; check endpoint_url"
            raise EmbedderInvalidReply(told) from presentable(error)
        return content

    def _whole(self, body: Any) -> bytes:
        """A reply that is neither too long nor dripping. Raises `EmbedderError`, or what botocore raises."""
        content, until = bytearray(), time.monotonic() + self._options.timeout
        while part := body.read(_PART):
            content += part
            if len(content) > self._options.max_reply:
                body.close()
                raise EmbedderDenied(
                    f"{self.place}: the reply has more than {in_bytes(self._options.max_reply)}; if that is meant to "
                    f"be, set max_reply higher"
                )
            if time.monotonic() > until:
                body.close()
                raise boto.ReadTimeoutError(endpoint_url=self.place.host)
        return bytes(content)

    def close(self) -> None:
        """Close connections."""
        self._client.close()

    def _named(self) -> dict[str, Any]:
        component = self._options.inference_component
        return {
            "EndpointName": self._options.endpoint_name,
            "ContentType": "application/json",
            "Accept": "application/json",
            **({"InferenceComponentName": component} if component else {}),
        }

    def _remember(self) -> None:
        """What no error may print; fetches new credentials where the old ones run out, as signing would."""
        try:
            frozen = self._credentials.get_frozen_credentials()
        except Exception as error:  # providers run programs and read files: they raise what they like
            raise EmbedderDenied(
                f"{self.place}: {self.place.who} cannot be renewed: {error}; log in again, or set profile"
            ) from error
        remember(frozen.access_key, frozen.secret_key, frozen.token)


def _config(options: SageMakerOptions) -> Config:
    return Config(
        connect_timeout=min(_CONNECT, options.timeout),
        read_timeout=options.timeout,
        max_pool_connections=options.concurrency,
        # Exactly one layer retries, and that is the embedder's.
        retries={"total_max_attempts": 1, "mode": "standard"},
        user_agent_extra="nestvec-sagemaker",
    )
