# What parallelize uses of ray.
