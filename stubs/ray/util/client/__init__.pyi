# What parallelize uses of ray: what it is for programs that connect to ray://...
from typing import Any

ray: Any
