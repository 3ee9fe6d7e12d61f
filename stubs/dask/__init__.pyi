# What parallelize uses of dask: its settings.
from dask import config as config
from dask import utils as utils
