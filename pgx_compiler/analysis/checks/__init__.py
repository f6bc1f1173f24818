"""One check a file; `CHECKS` is their order. A check whose prerequisites failed stays silent."""

from collections.abc import Callable

from pgx_compiler.analysis.checks.accepted import check_accepted
from pgx_compiler.analysis.checks.capabilities import check_capabilities
from pgx_compiler.analysis.checks.data import check_data
from pgx_compiler.analysis.checks.expectations import check_expectations
from pgx_compiler.analysis.checks.feature_values import check_feature_values
from pgx_compiler.analysis.checks.features import check_features
from pgx_compiler.analysis.checks.files import check_files
from pgx_compiler.analysis.checks.fill import check_fill
from pgx_compiler.analysis.checks.gates import check_gates
from pgx_compiler.analysis.checks.grounds import check_grounds
from pgx_compiler.analysis.checks.labels import check_labels
from pgx_compiler.analysis.checks.model import check_model
from pgx_compiler.analysis.checks.names import check_names
from pgx_compiler.analysis.checks.parameters import check_parameters
from pgx_compiler.analysis.checks.rows import check_rows
from pgx_compiler.analysis.checks.score import check_score
from pgx_compiler.analysis.checks.series import check_series
from pgx_compiler.analysis.checks.sizes import check_sizes
from pgx_compiler.analysis.checks.strategy import check_strategy
from pgx_compiler.analysis.checks.text import check_text, check_text_fill
from pgx_compiler.analysis.checks.tuning import check_tuning
from pgx_compiler.analysis.checks.whole_text import check_whole_text
from pgx_compiler.analysis.context import Context

CHECKS: tuple[Callable[[Context], None], ...] = (
    check_names,
    check_files,
    check_model,
    check_data,
    check_text,
    check_whole_text,
    check_series,
    check_labels,
    check_features,
    check_feature_values,
    check_score,
    check_fill,
    check_text_fill,
    check_rows,
    check_grounds,
    check_strategy,
    check_expectations,
    check_capabilities,
    check_parameters,
    check_sizes,
    check_gates,
    check_tuning,
    check_accepted,
)
