"""What this machine's processor can do."""

import pytest

from shared.config.settings import Settings
from shared.domain.errors import ContractError
from worker.models.precision import check_precision


def _has_bf16() -> bool:
    try:
        check_precision("bf16", Settings(_env_file=None))
    except ContractError:
        return False
    return True


needs_bf16 = pytest.mark.skipif(not _has_bf16(), reason="no worker of this machine computes in bfloat16")
