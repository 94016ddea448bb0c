"""What can go wrong in the shop, each with the HTTP status that tells a client about it."""


class ShopError(Exception):
    """A request or a command could not be done; the message says why, without personal data."""

    status = 500


class InvalidRequestError(ShopError):
    """The request is malformed."""

    status = 400


class NotSignedInError(ShopError):
    """The request needs a session or the credentials are wrong."""

    status = 401


class ForbiddenError(ShopError):
    """The request comes from another site."""

    status = 403


class NotFoundError(ShopError):
    """There is no such product, category or order for this shopper."""

    status = 404


class ConflictError(ShopError):
    """The state of the shop does not permit it: out of stock, empty cart, cancelled order."""

    status = 409


class TooManyRequestsError(ShopError):
    """A rate limit was reached."""

    status = 429


class PaymentFailedError(ShopError):
    """The provider said that nothing was captured; the same checkout may be sent again."""

    status = 502


class UnavailableError(ShopError):
    """A part behind the shop (database, cache) does not answer; try again."""

    status = 503


class PaymentUnknownError(ShopError):
    """The provider did not answer in time; the worker finds out, nobody is charged twice."""

    status = 504


class SettingsError(Exception):
    """The environment of a process is wrong: which variable, and what a right value looks like."""


class EngineError(Exception):
    """An engine cannot be prepared or operated: what is wrong, where, what to do."""
