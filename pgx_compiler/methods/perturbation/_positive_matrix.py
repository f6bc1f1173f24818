"""The inverse of a symmetric positive definite matrix."""

import numpy as np

from runtimes.capabilities import Floats


def inverse_of(matrix: Floats) -> Floats:
    """By Cholesky's factor: two to three times as fast as by elimination, and exactly symmetric.

    Args:
        matrix: ``(n, n)``, symmetric; only its upper triangle is read. Not positive within rounding: elimination is tried.

    Raises:
        numpy.linalg.LinAlgError: it is singular.
    """
    from scipy.linalg.lapack import dpotrf, dpotri  # without the checks around them, which take as long

    if not len(matrix):
        return np.zeros((0, 0))
    factor, failed = dpotrf(matrix, clean=1)
    if not failed:
        upper, failed = dpotri(factor, overwrite_c=1)
    if failed:
        return np.asarray(np.linalg.inv(matrix), np.float64)
    whole: Floats = upper + upper.T
    whole[np.diag_indices(len(whole))] /= 2.0
    return whole
