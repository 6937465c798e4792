"""The package's own errors: what a user can put right, said in one line."""


class MedAlignError(ValueError):
    """Bad input; the message names the file or function, what was found and what was expected."""


class ReleaseError(MedAlignError):
    """A release's folder, table or manifest is not as expected."""


class EHRError(MedAlignError):
    """One patient's EHR file cannot be read."""


class ParamsError(MedAlignError):
    """An experiment's or a system's YAML file asks for something that does not exist."""


class PromptError(MedAlignError):
    """An instruction and its record cannot be packed into the system's context."""


class TermsError(MedAlignError):
    """What is asked for would break a release's terms of use."""


class NotAvailableError(MedAlignError):
    """What a metric needs cannot be had on this machine now; nothing asked for is wrong."""


class IncompleteError(MedAlignError):
    """Some prompts of a run have no response; the reasons are kept, and a new run tries them."""
