"""What SageMaker's refusals and botocore's failures mean, as the error to raise."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore import exceptions as boto

from nestvec.errors import ConfigError, EmbedderDenied, EmbedderError, EmbedderRefused, EmbedderUnavailable
from nestvec.masking import masked

if TYPE_CHECKING:
    from nestvec_sagemaker.options import SageMakerOptions

_DETAIL = 300
_SIGNED = re.compile(r"(?i)(security-token|signature|credential)([:=]\s*)[^\s,&]+")
_MISSING = re.compile(r"(?i)not found|could not be found|does not exist")
_SLOW = re.compile(r"(?i)timed? ?out")
_SCOPE = re.compile(r"(?i)scoped to a valid region|scoped to correct service")
_LENGTH = re.compile(r"(?i)length less than or equal|too large|exceed")

_EXPIRED = frozenset({"ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"})
_UNKNOWN = frozenset(
    {
        "AuthFailure",
        "IncompleteSignature",
        "IncompleteSignatureException",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidSignature",
        "InvalidSignatureException",
        "MissingAuthenticationToken",
        "MissingAuthenticationTokenException",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)
_THROTTLED = frozenset(
    {
        "BandwidthLimitExceeded",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "ThrottledException",
        "TooManyRequestsException",
    }
)
_PASSING = frozenset({"InternalDependencyException", "InternalFailure", "RequestTimeout", "RequestTimeoutException"})
#: What a container answers that cannot do it now: what it needs itself has failed, or there is too much to do.
_OVERLOADED = frozenset({424, 429})
#: What a container answers that is asked for something else than it serves: no text is at fault.
_OTHER_CONTAINER = frozenset({401, 403, 404, 405, 415})

#: What goes wrong between finding credentials and signing with them.
CREDENTIALS = (
    boto.CredentialRetrievalError,
    boto.MetadataRetrievalError,
    boto.NoAuthTokenError,
    boto.NoCredentialsError,
    boto.PartialCredentialsError,
    boto.RefreshWithMFAUnsupportedError,
    boto.SSOError,
    boto.TokenRetrievalError,
    boto.UnknownCredentialError,
    boto.UnknownTokenProviderError,
)


class EndpointFailed(EmbedderUnavailable):
    """The endpoint, or the way to it, failed; it may pass."""


class EndpointUnreachable(EndpointFailed):
    """Nobody answers at that address."""


class EndpointTooSlow(EndpointFailed):
    """The request took too long; parts of it may not."""


class EndpointRefused(EmbedderRefused):
    """The model does not take one of the texts, or not so many at once."""


@dataclass(frozen=True, slots=True)
class SageMakerEndpoint:
    """Whom errors speak of. `region` is the one really used."""

    options: SageMakerOptions
    region: str

    def __str__(self) -> str:
        return f"the SageMaker endpoint {self.options.endpoint_name!r} in {self.region}"

    @property
    def who(self) -> str:
        """Whose credentials."""
        return f"profile {self.options.profile!r}" if self.options.profile else "the default credentials"

    @property
    def log(self) -> str:
        """Where the container writes to (https://docs.aws.amazon.com/sagemaker/latest/dg/logging-cloudwatch.html)."""
        return f"CloudWatch, /aws/sagemaker/Endpoints/{self.options.endpoint_name}"

    @property
    def host(self) -> str:
        """Where requests go."""
        return self.options.endpoint_url or f"the SageMaker runtime of {self.region}"


def discreet(text: str) -> str:
    """A text without secrets: AWS repeats what was signed, the session token included."""
    return _SIGNED.sub(r"\1\2***", masked(text))


def refusal(error: boto.ClientError, place: SageMakerEndpoint) -> EmbedderError:
    """What an error reply means. The error itself is made discreet, so that it can be chained."""
    error.args = (discreet(str(error)),)
    details = error.response.get("Error", {})
    code, status = str(details.get("Code", "")), _number(error.response.get("ResponseMetadata"), "HTTPStatusCode")
    said = _said(discreet(str(details.get("Message") or "")))
    if code == "ModelError":
        return _of_the_model(error.response, place, said)
    if code in _THROTTLED:
        return EndpointFailed(
            f"{place} is throttled{said}; lower concurrency, raise deadline, or let the endpoint scale out"
        )
    if code == "ModelNotReadyException":
        return EndpointFailed(f"{place} is still loading its model{said}; wait, or raise deadline")
    if code in _EXPIRED:
        return EmbedderDenied(f"{place}: {place.who} expired{said}; renew them (such as with `aws sso login`)")
    if code in _UNKNOWN:
        return _unknown(place, said)
    if status == 413:
        return EndpointRefused(f"{place} takes no request of this size{said}")
    if code in _PASSING or status == 429 or status >= 500:
        return EndpointFailed(
            f"{place} failed with {code} (status {status}){said}; try again, or look at its state in AWS"
        )
    return _final(code, status, place, said)


def _unknown(place: SageMakerEndpoint, said: str) -> EmbedderError:
    if _SCOPE.search(said):
        return EmbedderDenied(f"{place.host} belongs to another region than {place.region}{said}; set region")
    return EmbedderDenied(
        f"{place}: AWS does not accept {place.who}{said}; check access key and secret, profile, and the clock here"
    )


def _final(code: str, status: int, place: SageMakerEndpoint, said: str) -> EmbedderError:
    if "AccessDenied" in code or code in ("NotAuthorized", "OptInRequired") or status == 403:
        return EmbedderDenied(f"{place}: {place.who} may not use it{said}; allow sagemaker:InvokeEndpoint")
    if code.startswith("Validation") and _MISSING.search(said):
        return EmbedderDenied(
            f"{place} does not exist{said}; check endpoint_name, inference_component, region, and that {place.who} "
            f"belong to its account"
        )
    if code.startswith("Validation") and _LENGTH.search(said):
        return EndpointRefused(f"{place} takes no request of this size{said}")
    return EmbedderDenied(f"{place} refused with {code or 'no code'} (status {status}){said}; check the options")


def _of_the_model(response: Any, place: SageMakerEndpoint, said: str) -> EmbedderError:
    """The container's own answer. One without a status is a container that did not answer in time, or is gone."""
    original = _number(response, "OriginalStatusCode")
    words = _said(discreet(str(response.get("OriginalMessage") or ""))) or said
    if original in (408, 504) or (original < 400 and _SLOW.search(words + said)):
        return EndpointTooSlow(
            f"the model at {place} did not answer in time{words}; set a smaller batch or chunking.size"
        )
    if original in _OVERLOADED or not 400 <= original < 500:
        return EndpointFailed(f"the model at {place} failed with status {original}{words}; its log is in {place.log}")
    if original in _OTHER_CONTAINER:
        return EmbedderDenied(
            f"the model at {place} answered with status {original}{words}; is it a jina embedding model, and "
            f"{place.options.model} at that?"
        )
    return EndpointRefused(f"the model at {place} refused the text with status {original}{words}")


def failure(error: Exception, place: SageMakerEndpoint) -> EmbedderError:
    """What a failure without an error reply means. `error` is botocore's."""
    reason = str(error)
    if isinstance(error, CREDENTIALS):
        return EmbedderDenied(f"{place}: {place.who} cannot be used: {reason}; renew them, or set profile")
    if isinstance(error, boto.SSLError):
        return EmbedderDenied(f"{place.host} has a certificate that is not trusted ({reason}); set AWS_CA_BUNDLE")
    if isinstance(error, boto.ReadTimeoutError):
        return EndpointTooSlow(
            f"{place} did not answer within {place.options.timeout:g} seconds; raise timeout, or set a smaller batch"
        )
    if isinstance(error, boto.ConnectionError):
        return EndpointUnreachable(
            f"{place.host} cannot be reached ({reason}); check region, endpoint_url, the network and the proxy"
        )
    if isinstance(error, boto.HTTPClientError | boto.IncompleteReadError):
        return EndpointFailed(f"the connection to {place.host} broke ({reason}); check the network and the proxy")
    return EmbedderError(f"{place} cannot be asked: {reason}; check the options and the AWS configuration")


def misconfigured(error: Exception, options: SageMakerOptions) -> ConfigError:
    """What keeps a client from being made."""
    if isinstance(error, boto.NoRegionError):
        return ConfigError("region: none is set, neither here nor in AWS_DEFAULT_REGION nor in the profile; set region")
    if isinstance(error, boto.ProfileNotFound):
        return ConfigError(f"profile: the AWS configuration has no profile {options.profile or 'of AWS_PROFILE'!r}")
    return ConfigError(f"the AWS configuration cannot be used: {error}; check region, profile and the AWS files")


def _number(values: Any, name: str) -> int:
    value = values.get(name) if isinstance(values, dict) else None
    return value if isinstance(value, int) else 0


def _said(text: str) -> str:
    """The first line, in brackets: what follows may be what was signed."""
    line = text.strip().partition("\n")[0].strip()
    return f" (it says: {line[:_DETAIL]})" if line and not line.startswith("<") else ""
