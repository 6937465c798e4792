"""The one rule by which figures, tables and prose round numbers."""

from decimal import ROUND_HALF_UP, Decimal


def rounded(value: float, decimals: int) -> Decimal:
    """Return a number rounded half away from zero.

    Formatting a float rounds its binary value: 0.175 would be 0.17 in a table, 17.5 % in a figure.

    >>> f"{rounded(0.175, 2)} {rounded(0.3125, 3):.1%}"
    '0.18 31.3%'
    """
    number = Decimal(f"{value:.12g}")
    is_finite = number.is_finite()
    return number.quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_UP) if is_finite else number
