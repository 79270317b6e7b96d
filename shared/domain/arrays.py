"""Names for the numpy arrays of the project, by dtype."""

import numpy as np
import numpy.typing as npt

Bool = npt.NDArray[np.bool_]
UInt8 = npt.NDArray[np.uint8]
UInt32 = npt.NDArray[np.uint32]
Int = npt.NDArray[np.int64]
Float32 = npt.NDArray[np.float32]
